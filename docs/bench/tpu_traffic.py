"""Memory traffic of programs compiled for a TPU, ours next to stock Flax, without a TPU.

    pip install '.[train,tpu-compile]'
    python docs/bench/tpu_traffic.py --label after --json docs/bench/tpu_traffic.json

Every program is a forward and a backward pass. The figures are those of the compiler, which counts the branch of a
conditional that accesses most, even if this branch is never executed. The JSON has the results of each label, such as
those of the versions before and after a change, with the versions of the compiler.
"""

import argparse
import functools
import importlib.metadata
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import flax.linen as linen
import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import jaxcnn.nn as nn
from jaxcnn import functional as F
from jaxcnn.train import target_mesh

PACKAGES = ("jax", "jaxlib", "libtpu", "flax")
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


class ConvNorm(linen.Module):
    """Two convolutions, each followed by batch norm and ReLU."""

    conv: Any
    norm: Any
    dtype: Any

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Both layers, twice."""
        for _ in range(2):
            x = self.conv(128, (3, 3), use_bias=False, dtype=self.dtype)(x)
            x = linen.relu(self.norm(use_running_average=False, dtype=self.dtype)(x))
        return x


class Depthwise(linen.Module):
    """One depthwise convolution."""

    conv: Any
    norm: Any
    dtype: Any
    window: int = 3

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """The convolution."""
        window = (self.window, self.window)
        return self.conv(x.shape[-1], window, feature_group_count=x.shape[-1], dtype=self.dtype)(x)


class Pool(linen.Module):
    """A convolution of 1 x 1 and ResNet's max pool."""

    conv: Any
    norm: Any
    dtype: Any

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """The convolution and the pool."""
        x = self.conv(64, (1, 1), dtype=self.dtype)(x)
        if self.conv is linen.Conv:
            return linen.max_pool(x, (3, 3), strides=(2, 2), padding="SAME")
        return F.max_pool(x, (3, 3), strides=2, padding="SAME")


# The network, the topology, and the shape of its input.
PROGRAMS: dict[str, tuple[Callable[..., linen.Module], str, tuple[int, ...]]] = {
    "convolution, batch norm and ReLU, twice": (ConvNorm, "v5e:1x1", (16, 28, 28, 128)),
    "depthwise 3x3 over 4 chips": (Depthwise, "v5e:2x2", (32, 16, 16, 128)),
    "depthwise 7x7 over 4 chips": (functools.partial(Depthwise, window=7), "v5e:2x2", (32, 16, 16, 128)),
    "max pool 3x3": (Pool, "v5e:1x1", (16, 56, 56, 64)),
}


def costs(network: linen.Module, mesh: Mesh, shape: Sequence[int], dtype: Any) -> dict[str, float]:
    """The figures that the compiler reports for the gradients of all parameters and of the input, for one chip."""
    whole, split = (NamedSharding(mesh, spec) for spec in (PartitionSpec(), PartitionSpec(mesh.axis_names)))
    x = jax.ShapeDtypeStruct(tuple(shape), dtype, sharding=split)
    variables = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=whole),
        jax.eval_shape(lambda x: network.init(jax.random.key(0), x), x),
    )

    def loss(params: Any, others: Any, x: jax.Array) -> Any:
        y, updated = network.apply({"params": params, **others}, x, mutable=list(others))
        return jnp.mean(jnp.square(y.astype(jnp.float32))), updated

    def gradients(params: Any, others: Any, x: jax.Array) -> Any:
        (value, updated), (of_params, of_x) = jax.value_and_grad(loss, argnums=(0, 2), has_aux=True)(params, others, x)
        return value, updated, of_params, of_x

    others = {name: leaves for name, leaves in variables.items() if name != "params"}
    began = time.perf_counter()
    with jax.set_mesh(mesh):
        program = jax.jit(gradients, out_shardings=(whole, whole, whole, split))
        compiled = program.lower(variables["params"], others, x).compile()
    cost: Any = compiled.cost_analysis()
    memory: Any = compiled.memory_analysis()
    return {
        "megabytes": round(cost["bytes accessed"] / 1e6, 2),
        "megaflops": round(cost["flops"] / 1e6, 1),
        "temporary_megabytes": round(memory.temp_size_in_bytes / 1e6, 2),
        "compile_seconds": round(time.perf_counter() - began, 1),
    }


def main() -> None:
    """Compiles every program and prints each line at once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--label", required=True, help="what the results are stored under, such as before or after")
    parser.add_argument("--json", type=Path, required=True, help="the file to write, or to add to")
    parser.add_argument("--only", default="", help="programs whose name has this text")
    parser.add_argument("--dtypes", nargs="+", default=list(DTYPES), choices=list(DTYPES))
    options = parser.parse_args()
    for name, (network, topology, shape) in PROGRAMS.items():
        if options.only not in name:
            continue
        mesh = target_mesh(topology)
        for dtype in options.dtypes:
            row = {
                "ours": costs(network(nn.Conv, nn.BatchNorm, DTYPES[dtype]), mesh, shape, DTYPES[dtype]),
                "stock": costs(network(linen.Conv, linen.BatchNorm, DTYPES[dtype]), mesh, shape, DTYPES[dtype]),
            }
            print(name, dtype, {peer: found["megabytes"] for peer, found in row.items()}, flush=True)
            _add(options.json, options.label, f"{name}, {dtype}", {"topology": topology, "input": shape, **row})


def _add(file: Path, label: str, name: str, row: dict[str, Any]) -> None:
    """Adds a result to the file."""
    content = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    content["versions"] = {
        package: importlib.metadata.version(package) for package in ("jax", "jaxlib", "libtpu", "flax")
    }
    content.setdefault(label, {})[name] = row
    file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
