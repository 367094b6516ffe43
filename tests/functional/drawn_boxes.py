"""Boxes drawn at random, for the tests of overlaps and of suppression."""

import numpy as np


def drawn(generator: np.random.Generator, n: int, *, whole: bool = False) -> np.ndarray:
    """Boxes within about 40 pixels with integer coordinates and exact overlaps, some of them without area."""
    corner, sides = generator.uniform(0, 30, (n, 2)), generator.uniform(0, 20, (n, 2))
    boxes = np.concatenate([corner, corner + sides * (generator.random((n, 1)) < 0.9)], -1)
    return (np.round(boxes / 3) if whole else boxes).astype(np.float32)
