"""The provenance of a run, as its checkpoints record it, and what has changed since a checkpoint was saved."""

import hashlib
import platform
from collections.abc import Iterator
from typing import Any

from jaxcnn.train._devices import Parallel
from jaxcnn.train._experiment import Experiment
from jaxcnn.train._runs import RunFolder, cpu_kind, installed_packages

Record = dict[str, Any]

# If one of these entries changes, the steps read other images, or the run is another one. Changes of the other entries
# may change the numbers.
ORIGIN = "origin"


def provenance(experiment: Experiment, run: RunFolder, parallel: Parallel) -> Record:
    """The run's identity, data, settings, code, devices and versions.

    ``origin`` determines which images a step reads. ``environment`` has everything else that determines the numbers:
    with the same environment, a run that is stopped and resumed has the same result bit for bit on the CPU.
    """
    code = run.path / "experiment.py"
    return {
        "run": run.identity,
        ORIGIN: {
            "dataset": experiment.data.fingerprint,
            "batch_size": experiment.batch_size,
            "seed": experiment.seed,
        },
        "environment": {
            "config.json": run.settings(),
            "experiment.py": {"sha256": hashlib.sha256(code.read_bytes()).hexdigest() if code.exists() else None},
            "devices": parallel.settings,
            "versions": {"python": platform.python_version(), **installed_packages()},
            "hardware": {"cpu": cpu_kind(), "device": parallel.mesh.devices.flat[0].device_kind},
        },
    }


def changes(before: Record, now: Record) -> list[str]:
    """The values that differ between two nested records, each as a phrase.

    >>> changes({"versions": {"jax": "0.10.2"}, "seed": 1}, {"versions": {"jax": "0.12.0"}, "seed": 1})
    ['versions: jax was 0.10.2 and is 0.12.0']
    """
    left, right = dict(_flatten(before)), dict(_flatten(now))
    return [
        f"{name} was {left.get(name, 'not set')} and is {right.get(name, 'not set')}"
        for name in dict.fromkeys([*left, *right])
        if left.get(name) != right.get(name)
    ]


def _flatten(record: Record, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in record.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}: ")
        else:
            yield f"{prefix}{name}", value
