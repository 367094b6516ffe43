"""Training steps compiled for a TPU or GPU, of our models and of the same models with Flax's layers, on any machine.

    pip install '.[train,tpu-compile,cuda-compile]'
    cd docs/bench
    python compiled_steps.py --json compiled_steps.json --only "stem and block"
    python compiled_steps.py --json compiled_steps.json --only "stem and block" --topology h100:1x1x1

The second model is ours with each convolution, batch norm and max pool replaced by Flax's. The figures are those of
``jaxcnn compile``, for one chip: memory traffic (with loops of at most one iteration counted as executed), operations
and the memory of temporaries; and of the compiler for TPUs: the bytes accessed, including those on the chip, and
cycles.
"""

import argparse
import contextlib
import dataclasses
import importlib.metadata
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
from flax import linen
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec

import jaxcnn.nn as nn
from jaxcnn import functional as F
from jaxcnn import models
from jaxcnn.bench._steps import OPTIMIZER, training_step
from jaxcnn.train import target_mesh
from jaxcnn.train._compile._costs import costs

PACKAGES = ("jax", "jaxlib", "libtpu", "jax-cuda13-pjrt", "flax")
CYCLES = re.compile(r'estimated_cycles":"(\d+)')
INSTRUCTIONS = ("fusion", "copy", "transpose", "convolution", "all-gather", "all-reduce", "select-and-scatter", "while")
FLAX = {nn.Conv: linen.Conv, nn.ConvTranspose: linen.ConvTranspose, nn.BatchNorm: linen.BatchNorm}
INCEPTION = ("3a", (64, 96, 128, 16, 32, 32))  # the first block of GoogLeNet


@dataclasses.dataclass(frozen=True)
class Net:
    """A network, the shape of a batch over all chips, and the topology."""

    model: str
    shape: tuple[int, ...]
    topology: str = "v5e:1x1"
    options: dict[str, Any] = dataclasses.field(default_factory=dict)


# Blocks, which compile in seconds, and then whole networks. Dropout is left out: it is the same in both programs.
NETS = {
    "resnet50, stem and block": Net("resnet50", (16, 224, 224, 3), options={"stage_sizes": (1,)}),
    "mobilenet_v2, stem and block": Net(
        "mobilenet_v2", (128, 96, 96, 3), "v5e:2x2", {"stages": ((6, 24, 1, 2),), "dropout_rate": 0.0}
    ),
    "resnet18_cifar, stem and block": Net("resnet18_cifar", (128, 32, 32, 3), options={"stage_sizes": (1,)}),
    "convnext_tiny, stem and block": Net(
        "convnext_tiny", (32, 96, 96, 3), options={"stage_sizes": (1,), "widths": (96,), "drop_rate": 0.0}
    ),
    "unet, two levels": Net(
        "unet",
        (4, 128, 128, 3),
        options={"padding": "SAME", "widths": (32, 64), "dropout_rate": 0.0, "num_classes": 2},
    ),
    "efficientnet_b0, stem and block": Net(
        "efficientnet_b0",
        (16, 96, 96, 3),
        options={"stages": ((6, 3, 1, 24, 1),), "dropout_rate": 0.0, "drop_rate": 0.0},
    ),
    "googlenet, stem and block": Net(
        "googlenet", (16, 96, 96, 3), options={"blocks": (INCEPTION,), "dropout_rate": 0.0}
    ),
    "mobilenet_v2, the first three stages": Net(
        "mobilenet_v2",
        (128, 96, 96, 3),
        "v5e:2x2",
        {"stages": ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 2, 2)), "dropout_rate": 0.0},
    ),
    "convnext, a stage": Net(
        "convnext_tiny", (32, 96, 96, 3), options={"stage_sizes": (3,), "widths": (96,), "drop_rate": 0.0}
    ),
    "resnet18_cifar": Net("resnet18_cifar", (128, 32, 32, 3)),
    "unet": Net("unet", (4, 128, 128, 3), options={"padding": "SAME", "dropout_rate": 0.0, "num_classes": 2}),
    "resnet50": Net("resnet50", (64, 224, 224, 3)),
    "googlenet": Net("googlenet", (64, 224, 224, 3), options={"dropout_rate": 0.0}),
    "efficientnet_b0": Net("efficientnet_b0", (64, 224, 224, 3), options={"dropout_rate": 0.0, "drop_rate": 0.0}),
}


def with_flax(next_method: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
    """A method interceptor that computes our layers by those of Flax, with the same variables."""
    module: linen.Module = context.module
    ours = isinstance(module, (*FLAX, nn.DepthwiseConv)) and not module.is_initializing()
    if context.method_name != "__call__" or not ours:
        return next_method(*args, **kwargs)
    variables = module.variables
    if isinstance(module, nn.DepthwiseConv):
        channels = args[0].shape[-1]
        added = {"features": channels * module.channel_multiplier, "feature_group_count": channels}
        return _layer(linen.Conv, module, **added).apply(variables, *args, **kwargs)
    layer = _layer(FLAX[type(module)], module)
    if not isinstance(module, nn.BatchNorm):
        return layer.apply(variables, *args, **kwargs)
    y, updated = layer.apply(variables, *args, **kwargs, mutable=["batch_stats"])
    for name, value in updated["batch_stats"].items():
        module.put_variable("batch_stats", name, value)
    return y


def _layer(kind: Any, module: Any, **added: Any) -> linen.Module:
    """A layer of Flax with the attributes of one of ours."""
    names = [field.name for field in dataclasses.fields(kind) if field.name not in ("parent", "name")]
    return kind(**{name: getattr(module, name) for name in names if hasattr(module, name)} | added, parent=None)


def flax_max_pool(
    x: jax.Array,
    window_shape: Sequence[int],
    *,
    strides: int | Sequence[int],
    padding: Any = "VALID",
    ceil_mode: bool = False,
) -> jax.Array:
    """``functional.max_pool``, computed by Flax's ``max_pool``."""
    window = tuple(window_shape)
    steps = (strides,) * len(window) if isinstance(strides, int) else tuple(strides)
    if ceil_mode and padding == "VALID":
        sizes = zip(x.shape[1:-1], window, steps, strict=True)
        padding = [(0, -(-(size - width) // step) * step + width - size) for size, width, step in sizes]
    elif isinstance(padding, int):
        padding = [(padding, padding)] * len(window)
    return linen.max_pool(x, window, steps, padding)


@contextlib.contextmanager
def stock() -> Iterator[None]:
    """Inside the block our models compute with Flax's layers and pools."""
    with contextlib.ExitStack() as stack:
        for name, module in list(sys.modules.items()):
            if name.startswith("jaxcnn.models.") and vars(module).get("max_pool") is F.max_pool:
                stack.enter_context(mock.patch.object(module, "max_pool", flax_max_pool))
        stack.enter_context(linen.intercept_methods(with_flax))
        yield


@contextlib.contextmanager
def without_loops() -> Iterator[None]:
    """Inside the block the loops of our models have no iterations: batch norm uses the sums of its first pass."""
    jax.clear_caches()
    with mock.patch.object(lax, "while_loop", lambda condition, body, state: state):
        yield
    jax.clear_caches()


PROGRAMS: dict[str, Callable[[], contextlib.AbstractContextManager[None]]] = {
    "stock": stock,
    "ours without loops": without_loops,
}


def compiled(net: Net, dtype: Any) -> tuple[Any, Any]:
    """The training step for the topology, before and after its compilation."""
    mesh = target_mesh(net.topology)
    whole, split = (NamedSharding(mesh, spec) for spec in (PartitionSpec(), PartitionSpec(mesh.axis_names)))

    def placed(tree: Any, sharding: NamedSharding) -> Any:
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), tree)

    model = models.create(net.model, dtype=dtype, **{"num_classes": 10} | net.options)
    x = jax.ShapeDtypeStruct(net.shape, dtype)
    logits, variables = jax.eval_shape(lambda x: model.init_with_output(jax.random.key(0), x), x)
    params = variables["params"]
    state = (params, variables.get("batch_stats", {}), jax.eval_shape(OPTIMIZER.init, params))
    labels = jax.ShapeDtypeStruct(logits.shape[:-1], jnp.int32)
    step = jax.jit(training_step(model), out_shardings=(whole, whole), donate_argnums=(0,))
    with jax.set_mesh(mesh):
        lowered = step.lower(placed(state, whole), placed(x, split), placed(labels, split))
        return lowered, lowered.compile()


def figures(lowered: Any, program: Any, devices: int) -> dict[str, Any]:
    """The figures of a program, for one chip."""
    flops, traffic = costs(lowered, program, devices)
    memory, text, reported = program.memory_analysis(), program.as_text(), program.cost_analysis() or {}
    return {
        "megabytes": round(traffic / 1e6, 2),
        "accessed_megabytes": round(reported.get("bytes accessed", 0) / 1e6, 2),
        "megaflops": round(flops / 1e6, 1),
        "temporary_megabytes": round(memory.temp_size_in_bytes / 1e6, 2),
        "estimated_megacycles": round(sum(map(int, CYCLES.findall(text))) / 1e6, 3),
        "instructions": {name: text.count(f" {name}(") for name in INSTRUCTIONS},
    }


def main() -> None:
    """Compiles both programs of each network and prints each line at once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True, help="the file to write, or to add to")
    parser.add_argument("--only", default="", help="networks whose name has this text")
    parser.add_argument("--topology", help="as for jaxcnn compile; by default that of the network")
    parser.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float32"))
    parser.add_argument(
        "--programs", nargs="+", default=["ours", "stock"], help="ours, stock, 'ours without loops', or a label"
    )
    options = parser.parse_args()
    for name, net in NETS.items():
        if options.only not in name:
            continue
        net = dataclasses.replace(net, topology=options.topology or net.topology)
        for peer in options.programs:
            began = time.perf_counter()
            with PROGRAMS.get(peer, contextlib.nullcontext)():
                found = figures(*compiled(net, options.dtype), target_mesh(net.topology).size)
            found["compile_seconds"] = round(time.perf_counter() - began, 1)
            print(name, net.topology, options.dtype, peer, found, flush=True)
            about = {"topology": net.topology, "input": net.shape}
            add(options.json, f"{name}, {net.topology}, {options.dtype}", about | {peer: found})


def add(file: Path, name: str, row: dict[str, Any]) -> None:
    """Adds a result to the file."""
    content = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    content["versions"] = {package: importlib.metadata.version(package) for package in PACKAGES}
    content.setdefault("programs", {}).setdefault(name, {}).update(row)
    file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
