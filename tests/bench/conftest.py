"""Helpers that the tests of the benchmarks share."""

from typing import Any

import pytest

from jaxcnn.bench._runner import Result


@pytest.fixture(scope="module", autouse=True)
def strict_dtypes() -> None:
    """Disables strict promotion, which Optax violates: it multiplies a float by an integer step."""


def made(name: str, operation: str, *, ours: float, stock: float, torch: float | None = None, **changes: Any) -> Result:
    """A result in which the median and the minimum of each peer are the same number."""
    times = {"ours": ours, "stock": stock} | ({} if torch is None else {"torch": torch})
    return {
        "name": name,
        "about": "made up",
        "kind": "conv",
        "family": "dense",
        "operation": operation,
        "algorithm": "xla",
        "milliseconds": {peer: {"median": time, "min": time, "runs": 3} for peer, time in times.items()},
        "compile_seconds": {"ours": 0.3, "stock": 0.2},
        "temporary_bytes": {"ours": 0, "stock": 0},
        "memory_bytes": {"ours": 30, "stock": 20},
        "error": 0.0,
        "limit": 1e-5,
        **changes,
    }
