"""What the tests of pictures share: records of a made-up run, and a picture's pixels."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIGNATURES = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}


def run_of(epochs: int, **changes: list[float]) -> list[dict[str, Any]]:
    """Records of a run whose error halves each epoch; ``test_loss=[...]`` replaces the values of test/loss."""
    records: list[dict[str, Any]] = [
        {
            "step": 10 * epoch,
            "epoch": epoch,
            "seconds": 0.5 * epoch,
            "learning_rate": 0.1 / epoch,
            "train/loss": 2.0 / epoch,
            "test/loss": 2.5 / epoch,
            "train/accuracy": 1 - 0.5**epoch,
            "test/accuracy": 1 - 0.6**epoch,
        }
        for epoch in range(1, epochs + 1)
    ]
    for name, values in changes.items():
        for record, value in zip(records, values, strict=True):
            record[name if name in record else name.replace("_", "/")] = value
    return records


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))
