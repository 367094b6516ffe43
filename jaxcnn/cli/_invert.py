"""Verbs that read image files: dark strokes on a light background may have to be inverted for the network."""

import argparse
from collections.abc import Sequence
from pathlib import Path


def add_argument(parser: argparse.ArgumentParser) -> None:
    """The options ``--invert`` and ``--no-invert``."""
    parser.add_argument(
        "--invert",
        action=argparse.BooleanOptionalAction,
        help="invert the brightness of the images; by default detected, if the data set has strokes",
    )


def which_inverted(paths: Sequence[Path], invert: bool | None, *, dataset: str) -> list[bool]:
    """Whether each image is inverted.

    Args:
        paths: of the images.
        invert: the option; None is guessed from the pixels if the data set has strokes.
        dataset: the name of the data set that the network was trained on.
    """
    from jaxcnn.data import holds_strokes, is_dark_on_light

    guessed = invert is None and holds_strokes(dataset)
    return [is_dark_on_light(path) if guessed else bool(invert) for path in paths]
