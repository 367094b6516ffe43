"""The table of the fastest algorithms of this machine, which ``jaxcnn bench --tune`` measures and writes.

It is used if the user selects it, by ``JAXCNN_TUNED=path`` or ``use_tuning``. Nothing is timed here.
"""

import functools
import importlib.metadata
import json
import os
import platform
import warnings
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import jax

from jaxcnn.functional._engine._algorithms import ALGORITHMS, MEASURED_ALGORITHMS
from jaxcnn.functional._engine._plan import BaseOperation, ConvPlan

# The version of the file that jaxcnn bench --tune writes.
TABLE_FORMAT = 1
"""The format of the tables that are written; ``read_table`` refuses others."""
VARIABLE = "JAXCNN_TUNED"

Table = Mapping[str, str]  # the name of an algorithm for the ``key`` of an operation

_table: Table | None = None  # None until the environment variable is read


def tuned_algorithm(plan: ConvPlan, operation: BaseOperation, *, exported: bool = False) -> str | None:
    """The algorithm that the table names for an operation on the CPU; None if it names none that "auto" may select.

    A program that is exported may run on another machine, so it uses no algorithm that only a table may name.

    >>> from jaxcnn._geometry import conv_geometry
    >>> plan = ConvPlan(geometry=conv_geometry((8, 56, 56, 64), (3, 3, 64, 64)), dtype="float32")
    >>> tuned_algorithm(plan, "forward")  # no table is in use
    """
    table = current()
    name = table.get(key(plan, operation)) if table else None
    known = ALGORITHMS if exported else ALGORITHMS | MEASURED_ALGORITHMS
    algorithm = known.get(name) if name is not None else None
    if algorithm is None or algorithm.why_not_auto(plan, operation) is not None:
        return None
    return name


def current() -> Table:
    """The table in use, empty if there is none."""
    global _table
    if _table is None:
        path = os.environ.get(VARIABLE)
        _table = read_table(path) if path else {}
    return _table


def set_table(table: Table) -> Table:
    """Puts a table to use, and returns the previous one."""
    global _table
    previous, _table = current(), table
    return previous


def key(plan: ConvPlan, operation: BaseOperation) -> str:
    """The operation in one line, with all batch axes merged.

    >>> from jaxcnn._geometry import conv_geometry
    >>> geometry = conv_geometry((2, 4, 8, 8, 3), (3, 3, 3, 6), strides=2)
    >>> key(ConvPlan(geometry=geometry, dtype="float32"), "kernel_grad")
    'kernel_grad float32 8 8x8x3 3x3 6 out=4x4 strides=2x2 pads=0:1x0:1 input_dilation=1x1 kernel_dilation=1x1 groups=1'
    """

    def join(sizes: tuple[int, ...]) -> str:
        return "x".join(map(str, sizes))

    geometry = plan.geometry
    pads = "x".join(f"{before}:{after}" for before, after in geometry.pads)
    sizes = f"{prod(geometry.batch_shape)} {join(geometry.sizes)}x{geometry.in_channels}"
    kernel = f"{join(geometry.window)} {geometry.out_channels} out={join(geometry.out_sizes)}"
    return (
        f"{operation} {plan.dtype.name} {sizes} {kernel} strides={join(geometry.strides)} pads={pads} "
        f"input_dilation={join(geometry.input_dilation)} kernel_dilation={join(geometry.kernel_dilation)} "
        f"groups={geometry.groups}"
    )


def read_table(path: str | os.PathLike[str]) -> Table:
    """The table of a file; empty, with a warning, if it was measured on another machine or with another JAX.

    Args:
        path: the file that ``jaxcnn bench --tune`` wrote.

    Raises:
        ValueError: the file does not exist, or is not such a table.

    Warns:
        RuntimeWarning: the table was measured on another machine or with another version.

    >>> read_table("missing.json")
    Traceback (most recent call last):
    ValueError: read_table: missing.json is not a table of jaxcnn bench --tune: FileNotFoundError(2, ...
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        machine, algorithms = found["machine"], found["algorithms"]
        known = found["format"] == TABLE_FORMAT and all(isinstance(name, str) for name in algorithms.values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not a table of jaxcnn bench --tune: {error!r}") from None
    if not known:
        raise ValueError(f"{path} is not a table of jaxcnn bench --tune of this version of jaxcnn.")
    here = this_machine()
    different = [
        f"{name} {machine.get(name)!r} is not {here[name]!r}" for name in here if machine.get(name) != here[name]
    ]
    if different:
        warnings.warn(
            f"the table {path} was measured on another machine or with another JAX ({'; '.join(different)}), so it is "
            "not used. Measure again with jaxcnn bench --tune.",
            RuntimeWarning,
            stacklevel=3,
        )
        return {}
    return algorithms


@functools.cache
def this_machine() -> dict[str, Any]:
    """The properties that determine the fastest algorithm; a table is used only if they are equal.

    >>> sorted(this_machine())
    ['cores', 'jax', 'jaxlib', 'processor']
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = {"jax": jax.__version__, "jaxlib": importlib.metadata.version("jaxlib")}
    return {"processor": _processor(), "cores": cores, **versions}


def _processor() -> str:
    """The model of the CPU."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
