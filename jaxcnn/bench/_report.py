"""Summaries of measurements: the machine, geometric means, and the slowest entry of each kind."""

import datetime
import importlib.metadata
import math
import os
import platform
from collections.abc import Iterable, Sequence
from typing import Any, get_args

from jaxcnn.bench._layers import Kind
from jaxcnn.bench._runner import Result, is_wrong
from jaxcnn.functional.tuning import this_machine

PACKAGES = ("jaxcnn", "jax", "jaxlib", "flax", "numpy", "torch")
STATISTICS = ("median", "min")


def report(results: Sequence[Result], *, machine: dict[str, Any]) -> dict[str, Any]:
    """A report that can be written as JSON: ``machine``, ``summary`` by medians and by minima, ``results``.

    Args:
        results: of ``run_entry``.
        machine: of ``machine``.

    >>> sorted(report([], machine={}))
    ['machine', 'results', 'summary']
    """
    summaries = {statistic: summary(results, statistic=statistic) for statistic in STATISTICS}
    return {"machine": machine, "summary": summaries, "results": list(results)}


def machine(*, torch: bool) -> dict[str, Any]:
    """The machine and the versions: processor, cores, memory, device, versions, date.

    Args:
        torch: whether to list the version of PyTorch.

    >>> sorted(machine(torch=False)["versions"])
    ['flax', 'jax', 'jaxcnn', 'jaxlib', 'numpy']
    """
    import jax

    packages = [name for name in PACKAGES if name != "torch" or torch]
    return {
        "date": datetime.date.today().isoformat(),
        "processor": this_machine()["processor"],
        "cores": this_machine()["cores"],
        "memory_gib": _memory_gib(),
        "device": jax.devices()[0].device_kind,
        "platform": jax.default_backend(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in packages},
    }


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def ratio(result: Result, above: str, below: str, *, statistic: str = "median") -> float | None:
    """The time of one peer divided by that of another, or None without one of the two.

    Args:
        result: of ``run_entry``.
        above: the peer whose time is divided: ``"ours"``, ``"stock"``, ``"accelerated"`` or ``"torch"``.
        below: the peer to divide by.
        statistic: ``"median"`` or ``"min"``.

    >>> ratio({"milliseconds": {"ours": {"median": 2.0}, "stock": {"median": 8.0}}}, "stock", "ours")
    4.0
    """
    times = result["milliseconds"]
    if above not in times or below not in times:
        return None
    return times[above][statistic] / times[below][statistic]


def geometric_mean(values: Iterable[float | None]) -> float | None:
    """The geometric mean of the values that are not None; None if all are.

    >>> geometric_mean([2.0, None, 8.0])
    4.0
    """
    logs = [math.log(value) for value in values if value is not None]
    return math.exp(sum(logs) / len(logs)) if logs else None


def summary(results: Sequence[Result], *, statistic: str = "median") -> dict[str, Any]:
    """Geometric means over kinds and over families with operations, the slowest entries, and the costs of steps."""
    kinds = [kind for kind in get_args(Kind) if any(r["kind"] == kind for r in results)]
    classes = list(dict.fromkeys((r["family"], r["operation"]) for r in results if r["kind"] != "step"))
    found: dict[str, Any] = {
        "kinds": {kind: _means([r for r in results if r["kind"] == kind], statistic) for kind in kinds},
        "classes": {
            f"{family} {operation}": _means(
                [r for r in results if (r["family"], r["operation"]) == (family, operation)], statistic
            )
            for family, operation in classes
        },
        "wrong": [entry_name(r) for r in results if is_wrong(r)],
    }
    steps = [r for r in results if r["kind"] == "step"]
    found["steps"] = {r["name"]: _step(r, statistic) for r in steps}
    return found


def entry_name(result: Result) -> str:
    """Layer and operation."""
    return f"{result['name']} {result['operation']}"


def _means(results: Sequence[Result], statistic: str) -> dict[str, Any]:
    gains = {entry_name(r): ratio(r, "stock", "ours", statistic=statistic) for r in results}
    slowest = min(gains, key=lambda name: gains[name] or math.inf)
    return {
        "entries": len(results),
        "stock/ours": geometric_mean(gains.values()),
        "ours/torch": geometric_mean(ratio(r, "ours", "torch", statistic=statistic) for r in results),
        "slowest": slowest,
        "slowest stock/ours": gains[slowest],
    }


def _step(result: Result, statistic: str) -> dict[str, float | None]:
    """The speed of a training step, and the compile time and memory of its program relative to stock's."""

    def quotient(key: str, peer: str = "ours") -> float | None:
        costs = result[key]
        return costs[peer] / costs["stock"] if costs.get("stock") and costs.get(peer) is not None else None

    return {
        "stock/ours": ratio(result, "stock", "ours", statistic=statistic),
        "stock/accelerated": ratio(result, "stock", "accelerated", statistic=statistic),
        "ours/torch": ratio(result, "ours", "torch", statistic=statistic),
        "compile time, ours/stock": quotient("compile_seconds"),
        "compile time, accelerated/stock": quotient("compile_seconds", "accelerated"),
        "memory, ours/stock": quotient("memory_bytes"),
    }
