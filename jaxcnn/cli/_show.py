"""Show an experiment and its settings, or the content of a folder of images.

`jaxcnn show lenet5_digits` shows an experiment: its settings with types, defaults and meaning, and its variants.
`jaxcnn show folder:/path` (or the path alone) shows the splits and classes of a folder of images, how many images each
class has, and which files are left out.
"""

import argparse
import collections
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxcnn.train import ExperimentFile

HELP = "show an experiment's settings, or the content of a folder of images"
EXAMPLES = (
    "jaxcnn show lenet5_digits",
    "jaxcnn show lenet5_mnist --augment",
    "jaxcnn show folder:/path/to/images",
)
FOLDER = "folder:"
MOST_PATHS = 3  # paths that are printed for each reason to leave out a file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument("experiment", help="name of an experiment, path of its file, or a folder of images")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--augment",
        nargs="?",
        const="augmentations.png",
        metavar="PICTURE",
        help="draw some training images after each augmentation (augmentations.png)",
    )


def run(options: argparse.Namespace) -> int:
    """Prints the experiment's docstring and the table of its settings, or the contents of a folder."""
    from jaxcnn.cli._output import print_json, print_table, say
    from jaxcnn.train import (
        config_of,
        find_experiment,
        list_experiments,
        settings_of,
        settings_to_json,
        variants_of,
    )

    folder = options.experiment.removeprefix(FOLDER)
    if folder != options.experiment or (Path(folder).is_dir() and folder not in list_experiments()):
        return show_folder(folder, as_json=options.json)
    file = find_experiment(options.experiment)
    if options.augment is not None:
        _draw(file, options.augment)
        return 0
    settings, variants = settings_of(file.config_class), variants_of(file)
    if options.json:
        about = {"experiment": file.name, "file": str(file.path), "about": file.doc.strip()}
        whole = {name: settings_to_json(config_of(file, [], variant=name)) for name in variants}
        changed = {name: {key: whole[name][key] for key in changes} for name, changes in variants.items()}
        print_json({**about, "settings": [setting.to_json() for setting in settings], "variants": changed})
        return 0
    say(f"{file.doc.strip()}\n\nfile    {file.path}\n")
    print_table(
        ["setting", "type", "default", "meaning"],
        [[each.name, each.type_name, each.text(each.default), each.meaning] for each in settings],
    )
    if variants:
        print()
        known = {setting.name: setting for setting in settings}
        in_words = {
            name: " ".join(f"{key}={known[key].text(value)}" for key, value in changes.items())
            for name, changes in variants.items()
        }
        print_table(["variant", "settings"], [[name, changes or "the defaults"] for name, changes in in_words.items()])
    return 0


def show_folder(path: str, *, as_json: bool) -> int:
    """Prints the number of images of each class in each split, and what is left out, by reason."""
    from jaxcnn.cli._output import print_json, print_table, say
    from jaxcnn.data import scan_folder

    found = scan_folder(path)
    counts = {split: {name: len(files) for name, files in classes.items()} for split, classes in found.splits.items()}
    if as_json:
        skipped = [{"path": str(place), "reason": reason} for place, reason in found.skipped.items()]
        print_json({"folder": str(found.root), "splits": counts, "skipped": skipped})
        return 0
    say(f"folder  {found.root}")
    for split, place in found.folders.items():
        held_out = "no folders train and test: a part of each class is held out for testing"
        say(f"{split:10} {held_out if split == 'all' else place}")
    print()
    rows = [[name, *(counts[split].get(name, 0) for split in counts)] for name in found.class_names]
    total = ["total", *(sum(classes.values()) for classes in counts.values())]
    print_table(["class", *counts], [*rows, total])
    reasons: dict[str, list[Path]] = collections.defaultdict(list)
    for place, reason in found.skipped.items():
        reasons[reason].append(place)
    if reasons:
        print()
        print_table(
            ["left out", "count", "such as"],
            [
                [reason, len(places), ", ".join(str(place.relative_to(found.root)) for place in places[:MOST_PATHS])]
                for reason, places in reasons.items()
            ],
        )
    return 0


def _draw(file: "ExperimentFile", path: str) -> None:
    """The first training images of the experiment: unchanged, after its own augmentation, and after every other."""
    import jax.numpy as jnp
    import numpy as np

    from jaxcnn.cli._output import say
    from jaxcnn.data import Split
    from jaxcnn.train import ConfigError
    from jaxcnn.vis import draw_augmentations

    experiment = file.build(file.config_class())
    train = experiment.data.train
    rows = np.arange(min(8, len(train)), dtype=np.int32)
    arrays = train.take(rows).arrays if isinstance(train, Split) else train.read(rows).arrays
    batch = {**experiment.prepare({name: jnp.asarray(array) for name, array in arrays.items()}), "index": rows}
    if "image" not in batch:
        there = ", ".join(repr(name) for name in batch if name != "index")
        raise ConfigError(
            f"--augment draws the array 'image', but the batches of {file.name} have only {there}. In Python, "
            f"experiment.augment augments such a batch."
        )

    def own(key: Any, images: Any) -> Any:
        """The experiment's augmentation of the whole batch, of which the images are shown."""
        assert experiment.augment is not None
        return experiment.augment(key, {**batch, "image": images, "epoch": jnp.zeros_like(rows)})["image"]

    draw_augmentations(
        batch["image"], path, title=f"{file.name}: augmentations", own=own if experiment.augment else None
    )
    say(path)
