"""Show an experiment: what it is, and its settings with types, defaults and meaning."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxcnn.train.discover import ExperimentFile

HELP = "show an experiment's settings"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument("experiment", help="name of an experiment, or path of its file")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--augment",
        nargs="?",
        const="augmentations.png",
        metavar="PICTURE",
        help="draw what each augmentation makes of some training images (augmentations.png unless said)",
    )


def run(options: argparse.Namespace) -> int:
    """Prints the experiment's docstring and the table of its settings."""
    from jaxcnn.cli.output import print_json, print_table
    from jaxcnn.train.config import settings_of
    from jaxcnn.train.discover import find_experiment

    file = find_experiment(options.experiment)
    if options.augment is not None:
        _draw(file, options.augment)
        return 0
    settings = settings_of(file.config_class)
    if options.json:
        rows = [{"name": s.name, "type": s.type_name, "default": s.default, "meaning": s.meaning} for s in settings]
        print_json({"experiment": file.name, "file": str(file.path), "about": file.doc.strip(), "settings": rows})
        return 0
    print(f"{file.doc.strip()}\n\nfile    {file.path}\n")
    print_table(
        ["setting", "type", "default", "meaning"], [[s.name, s.type_name, s.default, s.meaning] for s in settings]
    )
    return 0


def _draw(file: "ExperimentFile", path: str) -> None:
    """The first training images of the experiment, as they are, after its own augmentation, and after every other."""
    from jaxcnn.data.arrays import Split
    from jaxcnn.vis.augmentations import draw_augmentations

    experiment = file.build(file.config_class())
    train = experiment.dataset.train
    images = experiment.prepare(train.images[:8] if isinstance(train, Split) else train.read(range(8)).images)
    draw_augmentations(images, path, title=f"{file.name}: augmentations", own=experiment.augment)
    print(path)
