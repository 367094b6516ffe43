"""Folders of small images for tests."""

from pathlib import Path

import numpy as np
from PIL import Image


def write(path: Path, *, size: tuple[int, int] = (6, 5), channels: int = 3, seed: int = 0) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, channels), np.uint8)
    Image.fromarray(pixels[..., 0] if channels == 1 else pixels).save(path)
    return pixels


def fill(root: Path, counts: dict[str, int], **options: object) -> dict[str, tuple[np.ndarray, str]]:
    """Writes images of several classes and gives their pixels and class by relative path."""
    made = {}
    for name, count in counts.items():
        for index in range(count):
            path = root / name / f"{index:03}.png"
            made[path.relative_to(root).as_posix()] = (write(path, seed=len(made), **options), name)
    return made
