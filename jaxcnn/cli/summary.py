"""Show a model layer by layer: shapes, parameters, multiply-adds, receptive fields, memory of activations."""

import argparse
import gc
from pathlib import Path

HELP = "show a model layer by layer"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument("model", help="name of a model (see `jaxcnn models`)")
    parser.add_argument("--input", metavar="SIZE", help="224, 224x160 or 224x160x3; that of the paper unless given")
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="images in a batch (1)")
    parser.add_argument("--classes", type=int, metavar="N", help="number of classes; that of the paper unless given")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw what each map sees of the input")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Prints the table, and draws the picture if asked for."""
    gc.disable()  # the process ends with the table; collecting while modules load and the model is traced costs a third
    from jaxcnn.cli.output import print_table
    from jaxcnn.models.registry import create, info
    from jaxcnn.models.summary import COLUMNS, summary

    known = info(options.model)
    shape = read_input_shape(options.input, known.input_shape)
    if options.batch < 1:
        raise ValueError(f"--batch {options.batch}: a batch has at least one image.")
    found = summary(create(options.model, num_classes=options.classes), (options.batch, *shape))
    if options.picture is not None:
        from jaxcnn.vis.receptive_fields import draw_receptive_fields

        draw_receptive_fields(found, options.picture)
    if options.json:
        print(found.to_json())
        return 0
    print_table(COLUMNS, found.rows(), title=f"{options.model}: {known.paper}")
    return 0


def read_input_shape(text: str | None, usual: tuple[int, int, int]) -> tuple[int, ...]:
    """Height, width and channels from what the user wrote."""
    if text is None:
        return usual
    words = text.lower().split("x")
    if len(words) > 3 or not all(word.isdecimal() and int(word) for word in words):
        raise ValueError(f"--input {text}: write a size as 224, as 224x160, or as 224x160x3.")
    sizes = [int(word) for word in words]
    sizes = sizes * 2 if len(sizes) == 1 else sizes
    return (*sizes, *usual[len(sizes) :])
