"""Descriptions of topologies of TPUs and GPUs, whose devices compile and do not compute."""

import importlib.util
import math
import os
import re
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh

from jaxcnn._hints import did_you_mean
from jaxcnn.train._compile._gpus import GPUS, gpu_devices
from jaxcnn.train._errors import ConfigError

GENERATIONS = ("v4", "v5e", "v5p", "v6e")
# One device for each chip of v4, as in JAX on a TPU; the descriptions of other generations have this by default.
MEGACORE = {"v4": {"chip_config_name": "megacore"}}
_TOPOLOGY = re.compile(r"(\w+):(\d+(?:x\d+){1,2})(?:\*(\d+))?")
EXAMPLE = (
    "Write the generation and the chips along each axis, such as v5e:4x4, v5e:16x16*4 for four slices, or h100:1x1x8 "
    "for a host of eight GPUs."
)


def target_mesh(topology: str, *, axes: Mapping[str, int] | None = None) -> Mesh:
    """A mesh over the chips of a topology, to compile for; nothing can be computed on it.

    Args:
        topology: of TPUs the generation and the number of chips along each axis: ``"v5e:4x4"``, ``"v4:2x2x2"``; with
            ``"*4"`` at the end, four such slices. Of GPUs (``a100``, ``h100``, ``h200``) the groups of hosts, the
            hosts per group and the GPUs per host: ``"h100:1x2x8"``.
        axes: the names and sizes of the axes of the mesh; by default one axis named ``data``.

    Raises:
        ConfigError: the topology does not exist, the mesh does not have its number of chips, or the compiler is not
            installed.

    >>> target_mesh("v5e")
    Traceback (most recent call last):
    jaxcnn.train._errors.ConfigError: target_mesh: expected a topology, got 'v5e'. ...
    """
    generation, chips, slices = _parsed(topology)
    try:
        devices = gpu_devices(generation, chips) if generation in GPUS else _tpu_devices(generation, chips, slices)
    except jax.errors.JaxRuntimeError as error:
        reason = str(error).splitlines()[0][:300]
        raise ConfigError(f"the compiler does not know the topology {topology!r} ({reason}). {EXAMPLE}") from error
    axes = axes or {"data": len(devices)}
    if math.prod(axes.values()) != len(devices):
        sizes = " x ".join(f"{axis}={size}" for axis, size in axes.items())
        raise ConfigError(
            f"the mesh {sizes} has {math.prod(axes.values())} devices, but {topology} has {len(devices)}."
        )
    return Mesh(np.asarray(devices).reshape(tuple(axes.values())), tuple(axes))


def _tpu_devices(generation: str, chips: str, slices: int) -> list[Any]:
    """Devices that compile and do not compute.

    Raises:
        ConfigError: the compiler is not installed.
    """
    if importlib.util.find_spec("libtpu") is None:
        raise ConfigError(
            "compiling for a TPU requires the package libtpu, which is not installed: "
            "pip install 'jaxcnn[tpu-compile]'. No TPU is required."
        )
    # libtpu would query a metadata server that only TPU hosts have, and only one process could compile at a time.
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
    options: dict[str, Any] = MEGACORE.get(generation, {}) | ({} if slices == 1 else {"num_slices": slices})
    return list(topologies.get_topology_desc(f"{generation}:{chips}", "tpu", **options).devices)


def _parsed(topology: str) -> tuple[str, str, int]:
    """The generation, the chips along each axis, and the number of slices.

    Raises:
        ConfigError: it is not written as a topology, or its generation is unknown.
    """
    found = _TOPOLOGY.fullmatch(topology)
    if found is None:
        raise ConfigError(f"expected a topology, got {topology!r}. {EXAMPLE}")
    generation, chips, slices = found.groups()
    if generation not in (*GENERATIONS, *GPUS):
        hint = did_you_mean(generation, (*GENERATIONS, *GPUS))
        raise ConfigError(f"there is no generation {generation!r} in the topology {topology!r}. {hint}")
    if generation in GPUS and (chips.count("x") != 2 or slices):
        raise ConfigError(f"expected three numbers for GPUs, got {topology!r}. {EXAMPLE}")
    return generation, chips, int(slices or 1)
