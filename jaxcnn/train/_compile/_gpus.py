"""Descriptions of NVIDIA GPUs for XLA's compiler, which otherwise queries the driver of the GPU that is present."""

import importlib.util
from typing import Any, NamedTuple

from jax.experimental import topologies

from jaxcnn.train._errors import ConfigError

# The numbers are those of NVIDIA's data sheets and architecture white papers; the limits are those of the compute
# capability in the CUDA programming guide.
TEMPLATE = """
gpu_device_info {{
  cuda_compute_capability {{ major: {capability} {features} }}
  core_count: {cores}
  fpus_per_core: {units}
  clock_rate_ghz: {clock}
  memory_bandwidth: {bandwidth}
  device_memory_size: {memory}
  l2_cache_size: {cache}
  shared_memory_per_core: {shared}
  shared_memory_per_block: 49152
  shared_memory_per_block_optin: {shared_of_block}
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
  threads_per_warp: 32
  threads_per_block_limit: 1024
  threads_per_core_limit: 2048
  thread_dim_limit_x: 1024
  thread_dim_limit_y: 1024
  thread_dim_limit_z: 64
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 10 }}
runtime_version {{ major: 13 }}
device_description_str: "{name}"
"""


class Gpu(NamedTuple):
    """The properties of a GPU that the compiler requires.

    Attributes:
        name: as JAX names the device.
        capability: the major number of its compute capability; the minor one is 0.
        features: further fields of the capability.
        cores: streaming multiprocessors.
        units: the number of units of a core that multiply and add in single precision.
        clock: in GHz, the highest.
        bandwidth: of its memory, in bytes a second.
        memory: in bytes.
        cache: of the second level, in bytes.
        shared: the shared memory of a core, in bytes.
        shared_of_block: the largest part of the shared memory for one block.
    """

    name: str
    capability: int
    features: str
    cores: int
    units: int
    clock: float
    bandwidth: int
    memory: int
    cache: int
    shared: int
    shared_of_block: int


MIB = 2**20
_HOPPER: Any = {
    "capability": 9,
    "features": "feature_extension: ACCELERATED_FEATURES",
    "cores": 132,
    "units": 128,
    "clock": 1.98,
    "cache": 50 * MIB,
    "shared": 228 * 1024,
    "shared_of_block": 227 * 1024,
}
GPUS = {
    "a100": Gpu(
        name="NVIDIA A100-SXM4-80GB",
        capability=8,
        features="",
        cores=108,
        units=64,
        clock=1.41,
        bandwidth=2_039_000_000_000,
        memory=80 * 2**30,
        cache=40 * MIB,
        shared=164 * 1024,
        shared_of_block=163 * 1024,
    ),
    "h100": Gpu("NVIDIA H100 80GB HBM3", bandwidth=3_352_000_000_000, memory=80 * 2**30, **_HOPPER),
    "h200": Gpu("NVIDIA H200", bandwidth=4_800_000_000_000, memory=141 * 10**9, **_HOPPER),
}


def gpu_devices(generation: str, shape: str) -> list[Any]:
    """Devices that compile and do not compute.

    Args:
        generation: a key of ``GPUS``.
        shape: groups of hosts with a fast network, hosts in each, and GPUs of each host: ``"1x1x8"``.

    Raises:
        ConfigError: the compiler is not installed.
    """
    if not has_compiler():
        raise ConfigError(
            "compiling for a GPU requires the package jax-cuda13-plugin, which is not installed: "
            "pip install 'jaxcnn[cuda-compile]'. No GPU is required."
        )
    described = TEMPLATE.format(**GPUS[generation]._asdict())
    found = topologies.get_topology_desc(
        f"{generation}:{shape}", "cuda", topology=shape, target_config=described
    ).devices
    return list(found)


def has_compiler() -> bool:
    """Whether XLA's compiler for GPUs is installed."""
    plugins = importlib.util.find_spec("jax_plugins")
    return plugins is not None and importlib.util.find_spec("jax_plugins.xla_cuda13") is not None


def memory_of(device_kind: str) -> int | None:
    """The memory of a described GPU in bytes; None for other devices, whose compilers check their own.

    >>> memory_of("NVIDIA H200"), memory_of("TPU v4")
    (141000000000, None)
    """
    return next((gpu.memory for gpu in GPUS.values() if gpu.name == device_kind), None)
