"""Measurement of entries: the programs of all peers are compiled, compared, and timed alternately."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxcnn.bench import _jax_layers, _steps, _torch_layers, _torch_models
from jaxcnn.bench._layers import Entry, Step
from jaxcnn.bench._program import Program, jax_program, limit_of, relative_error
from jaxcnn.bench._timing import measure

# Norms over small batches amplify rounding errors: both results have the same distance from float64.
GRADIENT_LIMIT = 2e-2
STEP_PEERS = ("ours", "stock", "accelerated")

Result = dict[str, Any]


def run_entry(entry: Entry, *, seconds: float, torch: bool) -> Result:
    """Measures one entry.

    Keys: ``name``, ``about``, ``kind``, ``family``, ``operation``, ``algorithm``; for each peer ``milliseconds``
    (``median``, ``min``, ``runs``), ``compile_seconds``, ``temporary_bytes``, ``memory_bytes``; ``error`` with its
    ``limit``, and for steps ``gradient_error`` with its ``gradient_limit``.

    Args:
        entry: what to measure.
        seconds: for the timed runs of all peers; slow peers take longer.
        torch: whether to measure PyTorch too.

    Returns:
        one entry of the report, of plain values.

    >>> from jaxcnn.bench import ConvLayer
    >>> layer = ConvLayer(name="small", about="", x_shape=(1, 4, 4, 1), kernel_shape=(3, 3, 1, 1))
    >>> sorted(run_entry(Entry(layer, "forward"), seconds=0.001, torch=False)["milliseconds"])
    ['ours', 'stock']
    """
    programs = _programs(entry, torch)
    times = measure({name: program.run for name, program in programs.items()}, seconds=seconds)
    layer = entry.layer
    chosen = _jax_layers.algorithm(entry)
    compiled = {name: program for name, program in programs.items() if program.compile_seconds is not None}
    result: Result = {
        "name": layer.name,
        "about": layer.about,
        "kind": layer.kind,
        "family": layer.family,
        "operation": entry.operation,
        "algorithm": chosen,
        "milliseconds": {
            name: {"median": 1e3 * each.median, "min": 1e3 * each.minimum, "runs": len(each.seconds)}
            for name, each in times.items()
        },
        "compile_seconds": {name: program.compile_seconds for name, program in compiled.items()},
        "temporary_bytes": {name: program.temporary_bytes for name, program in compiled.items()},
        "memory_bytes": {name: program.memory_bytes for name, program in compiled.items()},
        "limit": limit_of(chosen),
    }
    ours, stock = programs["ours"].outputs, programs["stock"].outputs
    if not isinstance(layer, Step):
        return result | {"error": relative_error(ours, stock)}
    return result | {
        "error": relative_error(ours[:1], stock[:1]),
        "gradient_error": _distance(ours[1:], stock[1:]),
        "gradient_limit": GRADIENT_LIMIT,
    }


def is_wrong(result: Result) -> bool:
    """Whether jaxcnn's result differs from stock's by more than ``limit``, the tolerance for rounding.

    Args:
        result: of ``run_entry``.

    >>> is_wrong({"error": 2e-5, "limit": 1e-5})
    True
    """
    right = result["error"] <= result["limit"]
    return not (right and result.get("gradient_error", 0.0) <= result.get("gradient_limit", 0.0))


def _programs(entry: Entry, torch: bool) -> dict[str, Program]:
    layer = entry.layer
    if isinstance(layer, Step):
        programs = {peer: _steps.make(layer, peer) for peer in STEP_PEERS}
        return programs | ({"torch": _torch_models.make(layer)} if torch else {})
    arguments = _jax_layers.arguments(entry)
    programs = {
        "ours": jax_program(_jax_layers.ours(entry), arguments),
        "stock": jax_program(_jax_layers.stock(entry), arguments),
    }
    theirs = _torch_layers.make(entry, arguments) if torch else None
    return programs if theirs is None else programs | {"torch": theirs}


def _distance(found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> float:
    """The norm of the difference of two lists of gradients, relative to the norm of the second."""
    if jax.tree.map(np.shape, list(found)) != jax.tree.map(np.shape, list(expected)):
        return float("inf")
    squares = [np.array([np.sum((a - b) ** 2.0), np.sum(b**2.0)]) for a, b in zip(found, expected, strict=True)]
    difference, length = np.sqrt(np.sum(squares, 0))
    return float(difference / (length or 1.0)) if np.isfinite(difference) else float("inf")
