"""Label maps that a run predicts for image files: written as images, and printed as the shares of the classes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np


def write_masks(maps: np.ndarray, images: Sequence[Path], names: Sequence[str], folder: Path, *, top: int) -> list[Any]:
    """Writes each map as ``NAME_mask.png``, whose values are the classes, and describes it.

    Args:
        maps: ``(n, height, width)``, integers.
        images: the files that they are of.
        names: of the classes.
        folder: for the masks; created where it is missing.
        top: the largest number of classes that are described.

    Returns:
        for each image its path, that of the mask, and the share of the pixels of each class, largest first.

    Raises:
        ValueError: two images of the same name.
    """
    from PIL import Image

    from jaxcnn.vis import class_colours

    paths = [folder / f"{image.stem}_mask.png" for image in images]
    if twice := next((path for path in paths if paths.count(path) > 1), None):
        raise ValueError(f"two images would both have the mask {twice}. Predict them one after the other.")
    folder.mkdir(parents=True, exist_ok=True)
    palette = np.rint(255 * class_colours(len(names))).astype(np.uint8)
    found = []
    for image, path, classes in zip(images, paths, maps, strict=True):
        picture = Image.fromarray(classes.astype(np.uint8))
        picture.putpalette(palette.ravel().tolist())
        picture.save(path)
        shares = np.bincount(classes.ravel(), minlength=len(names)) / classes.size
        best = [index for index in np.argsort(-shares, kind="stable")[:top] if shares[index] > 0]
        classes_found = [{"class": names[index], "share": float(shares[index])} for index in best]
        found.append({"image": str(image), "mask": str(path), "classes": classes_found})
    return found
