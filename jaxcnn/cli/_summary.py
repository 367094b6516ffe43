"""Show a model layer by layer: shapes, parameters, multiply-adds, receptive fields, memory of activations.

The model is one of `jaxcnn models`, or that of an experiment or of a run.
"""

import argparse
import gc
from pathlib import Path
from typing import Any

from jaxcnn.cli import _trust

HELP = "show a model layer by layer"
EXAMPLES = (
    "jaxcnn summary resnet50 --input 224",
    "jaxcnn summary lenet5_digits",
    "jaxcnn summary runs/mine",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument("model", help="name of a model or an experiment, file of an experiment, or folder of a run")
    parser.add_argument(
        "--input",
        metavar="SIZE",
        help="size of the input: 224, 224x160 or 224x160x3 (that of the paper or of the experiment)",
    )
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="images in a batch (1)")
    parser.add_argument(
        "--classes", type=int, metavar="N", help="number of classes of a named model (that of the paper)"
    )
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the receptive field of each map")
    parser.add_argument("--json", action="store_true", help="print JSON")
    _trust.add_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Prints the table, and draws the picture if asked for."""
    gc.disable()  # the process ends with the table; collecting while modules load and the model is traced costs a third
    from jaxcnn.cli._output import print_table
    from jaxcnn.models import summary

    if options.batch < 1:
        raise ValueError(f"--batch {options.batch}: a batch has at least one image.")
    model, usual, title = find_model(options)
    found = summary(model, (options.batch, *read_input_shape(options.input, usual)))
    if options.picture is not None:
        from jaxcnn.vis import draw_receptive_fields

        draw_receptive_fields(found, options.picture)
    if options.json:
        print(found.to_json())
        return 0
    print_table(found.COLUMNS, found.rows(), title=title)
    return 0


def find_model(options: argparse.Namespace) -> tuple[Any, tuple[int, ...], str]:
    """The model, the shape of its input without the batch, and a title.

    Raises:
        ValueError: there is no such model, or ``--classes`` for a model whose classes its data set decides.
    """
    from jaxcnn._hints import did_you_mean
    from jaxcnn.models import create, info, list_models

    name: str = options.model
    if name in list_models():
        return create(name, num_classes=options.classes), info(name).input_shape, f"{name}: {info(name).paper}"
    experiment = _experiment(options)
    if experiment is None:
        from jaxcnn.train import list_experiments

        known = [*list_models(), *list_experiments()]
        raise ValueError(
            f"{name!r} is not a model, an experiment, an experiment file (.py) or a run folder. "
            f"{did_you_mean(name, known)}"
        )
    if options.classes is not None:
        raise ValueError("--classes is for a named model; the classes of an experiment are those of its data set.")
    from jaxcnn.train import networks

    found = networks(experiment)
    if not found:
        raise ValueError(f"{name}: its init calls no Linen module of one array, so there is nothing to show.")
    model, x = found[0]
    return model, x.shape[1:], f"{name}: {type(model).__name__}"


def _experiment(options: argparse.Namespace) -> Any:
    """The experiment of a name, a file or a run folder, with its recorded or its default settings; None without one."""
    name: str = options.model
    from jaxcnn.train import RunFolder, find_experiment, list_experiments

    if Path(name).is_dir():
        file, config = _trust.load_experiment(RunFolder.open(Path(name)), options)
        return file.build(config)
    if name.endswith(".py") or name in list_experiments():
        file = find_experiment(name)
        return file.build(file.config_class())
    return None


def read_input_shape(text: str | None, usual: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of one example from what the user wrote, and from the shape that the model usually reads.

    Of images and videos, one number or two are the height and the width. The last axis are channels.
    """
    if text is None:
        return usual
    words = text.lower().split("x")
    if len(words) > len(usual) or not all(word.isdecimal() and int(word) for word in words):
        forms = {2: "150, or as 150x1", 4: "112, as 112x160, or as 16x112x160x3"}
        raise ValueError(
            f"--input {text}: write a size as {forms.get(len(usual), '224, as 224x160, or as 224x160x3')}."
        )
    sizes = [int(word) for word in words]
    if len(sizes) <= 2 < len(usual):
        sizes = [*usual[:-3], sizes[0], sizes[-1]]
    return (*sizes, *usual[len(sizes) :])
