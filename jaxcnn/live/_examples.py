"""The examples that a live view shows: some of the test split, and what is drawn on the page."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxcnn.data import StreamedSplit
from jaxcnn.live._frame import Example
from jaxcnn.train import Experiment

COUNT = 8


def some_examples(experiment: Experiment) -> dict[str, np.ndarray]:
    """Evenly spaced examples of the validation split, or else of the test split."""
    split = experiment.data.test if experiment.data.validation is None else experiment.data.validation
    rows = np.unique(np.linspace(0, len(split) - 1, COUNT).round().astype(int))
    if isinstance(split, StreamedSplit):
        return {name: np.asarray(array) for name, array in split.read(rows).arrays.items()}
    return {name: np.asarray(split[name][rows]) for name in split.fields}


def can_draw(examples: Mapping[str, np.ndarray]) -> bool:
    """Whether the network reads images alone, of one or three channels."""
    others = set(examples) - {"image", "label"}
    return "image" in examples and not others and examples["image"].shape[-1] in (1, 3)


def is_light(examples: Mapping[str, np.ndarray]) -> bool:
    """Whether the border of most images is in the upper half of the range of all pixels."""
    images = examples["image"]
    border = np.concatenate([images[:, [0, -1]].ravel(), images[:, :, [0, -1]].ravel()])
    return bool(np.median(border) > (float(images.min()) + float(images.max())) / 2)


def drawing(examples: Mapping[str, np.ndarray], pixels: bytes) -> Example:
    """The example that shows a drawing, given as one byte of each pixel, row by row.

    Raises:
        ValueError: another number of pixels than those of an image.
    """
    images = examples["image"]
    _, height, width, channels = images.shape
    if len(pixels) != height * width:
        raise ValueError(f"expected {height}x{width} pixels, got {len(pixels)}.")
    shades: Any = np.frombuffer(pixels, np.uint8).reshape(1, height, width, 1).repeat(channels, -1)
    if images.dtype != np.uint8:
        low, high = float(images.min()), float(images.max())
        shades = low + (high - low) * shades / 255
    arrays = {name: array[:1] for name, array in examples.items()}
    return Example({**arrays, "image": shades.astype(images.dtype)}, labelled=False)
