"""Predict the classes of image files with a run's model.

Grey, colour, transparent and palette images of any size are read; they are brought to the size and channels that
the run was trained on. Digits are light on dark: --invert turns dark on light.
"""

import argparse
from pathlib import Path
from typing import Any

from jaxcnn.cli import _trust

HELP = "predict the classes of image files"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="folder of the run")
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="image files")
    parser.add_argument("--top", type=int, default=3, metavar="K", help="classes shown for each image (3)")
    parser.add_argument("--invert", action="store_true", help="turn dark on light into light on dark")
    parser.add_argument("--checkpoint", choices=("last", "best"), default="last", help="which checkpoint (last)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    _trust.add_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Prints the most probable classes of every image."""
    import numpy as np

    from jaxcnn.cli.output import print_json, print_table
    from jaxcnn.data import read_image
    from jaxcnn.train.errors import ConfigError
    from jaxcnn.train.run_folder import RunFolder

    if options.top < 1:
        raise ConfigError(f"--top {options.top}: show at least one class.")
    model = _trust.load_model(RunFolder.open(options.run_folder), options)
    form = {"image_shape": model.image_shape, "resize": model.resize, "invert": options.invert}
    images = [read_image(path, **form) for path in options.images]
    found: list[dict[str, Any]] = []
    for path, probabilities in zip(options.images, model.probabilities(np.stack(images)), strict=True):
        best = np.argsort(-probabilities, kind="stable")[: options.top]
        top = [{"class": model.class_names[index], "probability": float(probabilities[index])} for index in best]
        found.append({"image": str(path), "top": top})
    if options.json:
        print_json(found)
        return 0
    rows = [
        [row["image"], *(f"{guess['class']} {100 * guess['probability']:.1f} %" for guess in row["top"])]
        for row in found
    ]
    print_table(["image", "prediction", *[""] * (len(rows[0]) - 2)], rows)
    return 0
