"""Formulations that were measured to be the fastest on this machine: a table that ``jaxcnn bench --tune`` writes.

It is read where the user asks for it, by ``JAXCNN_TUNED=path`` or ``use_tuning``. Nothing is timed here.
"""

import functools
import json
import os
import platform
import warnings
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxcnn._geometry import ConvGeometry
from jaxcnn.functional.lowering.lowering import Operation
from jaxcnn.functional.lowering.registry import LOWERINGS

FORMAT = 1
VARIABLE = "JAXCNN_TUNED"

Table = Mapping[str, str]  # the name of a formulation for the ``key`` of an operation

_table: Table | None = None  # None until the environment is asked


def tuned(geometry: ConvGeometry, dtype: Any, operation: Operation) -> str | None:
    """The algorithm that the table names for an operation on the CPU; None where it names none that "auto" may take.

    >>> from jaxcnn._geometry import conv_geometry
    >>> tuned(conv_geometry((8, 56, 56, 64), (3, 3, 64, 64)), "float32", "forward")  # no table was asked for
    """
    table = current()
    name = table.get(key(geometry, dtype, operation)) if table else None
    lowering = LOWERINGS.get(name) if name is not None else None
    if lowering is None or lowering.why_not_auto(geometry, dtype, operation) is not None:
        return None
    return name


def current() -> Table:
    """The table that holds now, empty where none does."""
    global _table
    if _table is None:
        path = os.environ.get(VARIABLE)
        _table = read(path) if path else {}
    return _table


def set_table(table: Table) -> Table:
    """From here on this table holds; the one before it."""
    global _table
    before, _table = current(), table
    return before


def key(geometry: ConvGeometry, dtype: Any, operation: Operation) -> str:
    """The operation in one line, in which all batch axes are one.

    >>> from jaxcnn._geometry import conv_geometry
    >>> key(conv_geometry((2, 4, 8, 8, 3), (3, 3, 3, 6), strides=2), "float32", "kernel_grad")
    'kernel_grad float32 8 8x8x3 3x3 6 out=4x4 strides=2x2 pads=0:1x0:1 input_dilation=1x1 kernel_dilation=1x1 groups=1'
    """

    def join(sizes: tuple[int, ...]) -> str:
        return "x".join(map(str, sizes))

    pads = "x".join(f"{before}:{after}" for before, after in geometry.pads)
    sizes = f"{prod(geometry.batch_shape)} {join(geometry.sizes)}x{geometry.in_channels}"
    kernel = f"{join(geometry.window)} {geometry.out_channels} out={join(geometry.out_sizes)}"
    return (
        f"{operation} {jnp.dtype(dtype).name} {sizes} {kernel} strides={join(geometry.strides)} pads={pads} "
        f"input_dilation={join(geometry.input_dilation)} kernel_dilation={join(geometry.kernel_dilation)} "
        f"groups={geometry.groups}"
    )


def read(path: str | os.PathLike[str]) -> Table:
    """The table of a file; empty, with a warning, where it is of another machine or another JAX.

    Raises:
        ValueError: a file that is no such table, or is not there.

    Warns:
        RuntimeWarning: a table of another machine or version.
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        machine, algorithms = found["machine"], found["algorithms"]
        known = found["format"] == FORMAT and all(isinstance(name, str) for name in algorithms.values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no table of jaxcnn bench --tune: {error!r}") from None
    if not known:
        raise ValueError(f"{path} is no table of jaxcnn bench --tune of this version of jaxcnn.")
    here = this_machine()
    different = [
        f"{name} {machine.get(name)!r} is not {here[name]!r}" for name in here if machine.get(name) != here[name]
    ]
    if different:
        warnings.warn(
            f"the table {path} was measured elsewhere ({'; '.join(different)}) and is not used. "
            "Measure again with jaxcnn bench --tune.",
            RuntimeWarning,
            stacklevel=3,
        )
        return {}
    return algorithms


@functools.cache
def this_machine() -> dict[str, Any]:
    """What decides which formulation is the fastest."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"processor": processor(), "cores": cores, "jax": jax.__version__}


def processor() -> str:
    """The model of the CPU."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
