"""The content of a results file: figures of finished runs, with their spread over the seeds."""

import datetime
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def results_of(experiment: str, groups: Mapping[str, Mapping[Path, float | None]]) -> dict[str, Any]:
    """The content of a results file.

    Args:
        experiment: its name.
        groups: the run folders of each variant with their wall time, None where it is not known. An experiment without
            variants has one group, whose name is empty.

    Returns:
        a dict in the format of ``docs/decisions/0012-variants.md``.
    """
    from jaxcnn.train import RunFolder

    settings = {name: RunFolder(next(iter(runs))).settings() for name, runs in groups.items()}
    for each in settings.values():
        del each["seed"]
    first = next(iter(settings.values()))
    common = {
        name: value for name, value in first.items() if all(each.get(name) == value for each in settings.values())
    }
    figures = {name: _of_group(runs) for name, runs in groups.items()}
    variants = {
        name: {"settings": {key: value for key, value in settings[name].items() if key not in common}, **found}
        for name, found in figures.items()
    }
    folder = next(iter(next(iter(groups.values()))))
    return {
        "experiment": experiment,
        **(figures[""] if list(groups) == [""] else {"variants": variants}),
        "settings": common,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "date": datetime.date.today().isoformat(),
        "versions": json.loads((folder / "versions.json").read_text(encoding="utf-8")),
    }


def _of_group(wall_seconds: Mapping[Path, float | None]) -> dict[str, Any]:
    """The figures of runs that differ in the seed alone."""
    runs = [_of_run(folder, seconds) for folder, seconds in wall_seconds.items()]
    known = [seconds for seconds in wall_seconds.values() if seconds is not None]
    measured = spread_of_measured([run.get("measured", {}) for run in runs])
    return {
        "seeds": len(runs),
        **_spreads(runs),
        **({"measured": measured} if measured else {}),
        **({"wall_seconds": _spread(known)} if known else {}),
        "runs": runs,
    }


def _of_run(folder: Path, seconds: float | None) -> dict[str, Any]:
    from jaxcnn.train import RunFolder

    run = RunFolder(folder)
    records = run.metrics.read()
    last = records[-1]
    measured = run.measured()
    return {
        "seed": run.settings()["seed"],
        **{name: value for name, value in last.items() if name.startswith(("test/", "val/"))},
        "epochs": last["epoch"],
        "steps": last["step"],
        "wall_seconds": seconds,
        **({"measured": measured} if measured else {}),
        "git": json.loads((folder / "versions.json").read_text(encoding="utf-8"))["git"],
        "history": _history(records),
    }


def _spreads(runs: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """The spread of each measure of the test and validation splits over the runs, and of the error.

    The loss is left out where there is another measure.
    """
    names = [name for name in runs[0] if name.startswith(("test/", "val/"))]
    others = [name for name in names if name.partition("/")[2] != "loss"]
    found = {name: _spread([run[name] for run in runs]) for name in others or names}
    if "test/accuracy" in found:
        found["test/error"] = _spread([1 - run["test/accuracy"] for run in runs])
    return found


def spread_of_measured(runs: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Mean and deviation, entry by entry, of the arrays that all runs measured in one shape.

    >>> spread_of_measured([{"change": [0.0, 1.0]}, {"change": [0.0, 2.0]}])
    {'change': {'mean': [0.0, 1.5], 'std': [0.0, 0.707107]}}
    """
    import numpy as np

    found = {}
    for name in runs[0]:
        arrays = [np.asarray(run[name]) for run in runs if name in run]
        if len(arrays) < len(runs) or len({array.shape for array in arrays}) > 1 or arrays[0].dtype.kind not in "biuf":
            continue
        stacked = np.stack(arrays).astype(float)
        deviation = stacked.std(axis=0, ddof=1) if len(runs) > 1 else np.zeros(stacked.shape[1:])
        found[name] = {"mean": _rounded(stacked.mean(axis=0).tolist()), "std": _rounded(deviation.tolist())}
    return found


def _rounded(value: Any) -> Any:
    """Numbers, or nested lists of them, to six significant digits."""
    return [_rounded(each) for each in value] if isinstance(value, list) else float(f"{value:.6g}")


def _history(records: list[dict[str, Any]]) -> dict[str, list[float | None]]:
    """The run's curves: a list for each figure, with an entry for each epoch; null where it was not evaluated."""
    names = dict.fromkeys(name for record in records for name in record if "/" in name or name == "step")
    return {name: [None if name not in each else _to_digits(each[name]) for each in records] for name in names}


def _spread(values: list[float]) -> dict[str, float]:
    """Mean, sample standard deviation (0 for a single value), smallest and largest; NaN is in all of them."""
    import numpy as np

    array = np.asarray(values, np.float64)
    with np.errstate(invalid="ignore"):  # of infinities
        deviation = array.std(ddof=1) if len(array) > 1 else 0.0
    spread = {"mean": array.mean(), "std": deviation, "min": array.min(), "max": array.max()}
    return {name: _to_digits(float(value)) for name, value in spread.items()}


def _to_digits(value: float) -> float:
    """A number to six decimals, or to six significant digits where these are more."""
    if isinstance(value, int) or abs(value) >= 1 or not math.isfinite(value):
        return round(value, 6)
    return float(f"{value:.6g}")
