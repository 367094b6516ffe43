"""Checks that require a GPU: every function compared with the CPU, and times of layers and training steps.

    pip install '.[train,cuda]'
    python -m docs.bench.on_gpu --json docs/bench/on_gpu.json

``functions`` runs the forward pass and the gradient of each row of the table of all functions on the GPU and on the
CPU with the highest precision of matrix products; the figure is the largest difference, relative to the largest entry
of its array. ``repeats`` is whether a second run on the GPU gives the same bits. ``layers`` times our layers next to
``lax.conv_general_dilated`` and Flax's pools and batch norm; ``steps`` times training steps of our networks, of the
same networks with Flax's layers, and of torchvision's networks with automatic bfloat16 if PyTorch is installed.
Programs are compiled in parallel and timed alternately afterwards, with calls in flight as in training. The file is
written after each row, so that an interrupted run keeps its rows.
"""

import argparse
import concurrent.futures
import contextlib
import functools
import importlib.metadata
import importlib.util
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cuda,cpu")
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen
from jax import lax

from docs.bench.compiled_for_chips import Program, programs
from docs.bench.compiled_steps import stock
from jaxcnn import functional as F
from jaxcnn import models, nn
from jaxcnn.bench._steps import initial_state, training_step
from tests.functional.cases import collect
from tests.functional.cases.case import Case

PACKAGES = ("jax", "jaxlib", "flax", "torch", "torchvision")
ROUNDS = 7
IN_FLIGHT = 0.05  # seconds of calls between two synchronizations

# The shapes of x and of the kernel, and the options. Each takes about 0.1 to 2 ms.
LAYERS: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "3x3": ((128, 56, 56, 64), (3, 3, 64, 64), {}),
    "3x3 in 32 groups": ((128, 28, 28, 256), (3, 3, 8, 256), {"feature_group_count": 32}),
    "depthwise 3x3": ((128, 56, 56, 144), (3, 3, 1, 144), {"feature_group_count": 144}),
    "depthwise 3x3, dilated": (
        (128, 28, 28, 192),
        (3, 3, 1, 192),
        {"feature_group_count": 192, "kernel_dilation": 2},
    ),
    "depthwise 7x7": ((64, 56, 56, 96), (7, 7, 1, 96), {"feature_group_count": 96}),
    "transposed 4x4": ((64, 32, 32, 128), (4, 4, 128, 64), {"input_dilation": 2, "padding": ((2, 2), (2, 2))}),
    "one axis, 9": ((64, 4096, 64), (9, 64, 64), {}),
    "three axes, 3x3x3": ((8, 16, 56, 56, 64), (3, 3, 3, 64, 64), {}),
}
# The name in ``jaxcnn.models``, the shape of a batch, the options, and the name in torchvision.
STEPS: dict[str, tuple[str, tuple[int, ...], dict[str, Any], str]] = {
    "resnet50": ("resnet50", (256, 224, 224, 3), {}, "resnet50"),
    "mobilenet_v2": ("mobilenet_v2", (128, 224, 224, 3), {"dropout_rate": 0.0}, "mobilenet_v2"),
    "efficientnet_b0": (
        "efficientnet_b0",
        (128, 224, 224, 3),
        {"dropout_rate": 0.0, "drop_rate": 0.0},
        "efficientnet_b0",
    ),
    "convnext_tiny": ("convnext_tiny", (128, 224, 224, 3), {"drop_rate": 0.0}, "convnext_tiny"),
    "googlenet": ("googlenet", (128, 224, 224, 3), {"dropout_rate": 0.0}, "googlenet"),
    "resnet18_cifar": ("resnet18_cifar", (1024, 32, 32, 3), {}, ""),
    "unet": ("unet", (16, 256, 256, 3), {"padding": "SAME", "dropout_rate": 0.0, "num_classes": 2}, ""),
}
WITHOUT_DROPOUT = {"mobilenet_v2": {"dropout": 0.0}, "efficientnet_b0": {"dropout": 0.0, "stochastic_depth_prob": 0.0}}
WITHOUT_DROPOUT |= {"convnext_tiny": {"stochastic_depth_prob": 0.0}, "googlenet": {"aux_logits": False, "dropout": 0.0}}

Run = Callable[[], Any]


def functions() -> Iterator[tuple[str, dict[str, Any]]]:
    """The error of each function on the GPU, and whether its bits repeat."""
    gpu, cpu = jax.devices("cuda")[0], jax.devices("cpu")[0]
    # Convolutions by name are other algorithms of the same functions; on a GPU ``auto`` selects two of them.
    rows = {row.id: row for row in collect()}
    table = {
        f"{name}, {dtype}": (program, _drawn(rows.get(name.rpartition(", ")[0]), program, dtype))
        for name, program in programs(1).items()
        if not name.startswith("convolution ") or name.endswith((", xla", ", grouped"))
        for dtype in program.dtypes
        if dtype != "int8"
    }
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        futures = {pool.submit(_compared, *each, gpu, cpu): name for name, each in table.items()}
        for done in concurrent.futures.as_completed(futures):
            yield futures[done], done.result()


def _drawn(row: Case | None, program: Program, dtype: str) -> list[np.ndarray]:
    """The arrays of a row of the table, or of a convolution by name, which has none."""
    if row is not None:
        return row.draw(dtype=dtype)
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype(dtype) for shape in program.shapes]


def _compared(program: Program, arrays: Sequence[np.ndarray], gpu: Any, cpu: Any) -> dict[str, Any]:
    try:
        with jax.default_matmul_precision("highest"):
            on_gpu, again = _outputs(program, arrays, gpu, times=2)
            (on_cpu,) = _outputs(program, arrays, cpu)
    except Exception as error:  # any failure is a result
        return {"error": f"{type(error).__name__}: {error}".splitlines()[0][:300]}
    pairs = list(zip(on_gpu, on_cpu, strict=True))
    return {
        "difference": max((_difference(*pair) for pair in pairs), default=0.0),
        "repeats": all(np.array_equal(*pair, equal_nan=True) for pair in zip(on_gpu, again, strict=True)),
    }


def _outputs(program: Program, arrays: Sequence[np.ndarray], device: Any, times: int = 1) -> list[list[np.ndarray]]:
    with jax.default_device(device):
        placed = [jax.device_put(array, device) for array in arrays]
        call = jax.jit(lambda *arrays: program.call(*arrays))
        return [[_widened(leaf) for leaf in jax.tree.leaves(call(*placed))] for _ in range(times)]


def _widened(leaf: jax.Array) -> np.ndarray:
    return np.asarray(leaf.astype(np.float32) if leaf.dtype in (jnp.bfloat16, jnp.float16) else leaf)


def _difference(found: np.ndarray, expected: np.ndarray) -> float:
    if not found.size:
        return 0.0
    found, expected = (
        array.astype(np.complex128 if np.iscomplexobj(array) else np.float64) for array in (found, expected)
    )
    if not np.array_equal(np.isfinite(found), np.isfinite(expected)):
        return float("inf")
    finite = np.isfinite(expected)
    if not finite.any():
        return 0.0
    return float(np.abs(found[finite] - expected[finite]).max() / (np.abs(expected[finite]).max() or 1.0))


Call = tuple[str, str, Callable[..., Any], tuple[jax.Array, ...]]  # name of a row, peer, function, arguments


def layer_programs() -> Iterator[list[Call]]:
    """The programs of each layer."""
    for dtype in ("float32", "bfloat16"):
        for layer, (x_shape, kernel_shape, added) in LAYERS.items():
            options = {"padding": "SAME"} | added
            peers = {"ours": functools.partial(F.conv, **options), "stock": functools.partial(_lax_conv, options)}
            y_shape = jax.eval_shape(peers["ours"], *(jnp.empty(each, dtype) for each in (x_shape, kernel_shape))).shape
            x, kernel, y = (
                jax.random.normal(jax.random.key(0), each, dtype) for each in (x_shape, kernel_shape, y_shape)
            )
            found: list[Call] = []
            for peer, call in peers.items():
                found.append((f"{layer}, forward, {dtype}", peer, call, (x, kernel)))
                for operand, operation in enumerate(("input_grad", "kernel_grad")):
                    back = functools.partial(_vjp, call, operand)
                    found.append((f"{layer}, {operation}, {dtype}", peer, back, (x, kernel, y)))
            yield found
        x = jax.random.normal(jax.random.key(1), (128, 112, 112, 64), dtype)
        pools: dict[str, Callable[..., Any]] = {
            "ours": lambda x: F.max_pool(x, (3, 3), strides=2, padding=1),
            "stock": lambda x: linen.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1))),
        }
        name = f"max pool 3x3, both passes, {dtype}"
        found = [(name, peer, functools.partial(_both_passes, call), (x,)) for peer, call in pools.items()]
        name = f"batch norm, both passes, {dtype}"
        for peer, batch_norm in {"ours": nn.BatchNorm, "stock": linen.BatchNorm}.items():
            norm = batch_norm(use_running_average=False, dtype=dtype)
            call = functools.partial(_norm, norm, norm.init(jax.random.key(0), x[:2]))
            found.append((name, peer, functools.partial(_both_passes, call), (x,)))
        yield found


def _lax_conv(options: dict[str, Any], x: jax.Array, kernel: jax.Array) -> jax.Array:
    axes = "DHW"[-(x.ndim - 2) :]
    names = (f"N{axes}C", f"{axes}IO", f"N{axes}C")
    dilations: dict[str, Any] = {
        f"{'lhs' if name == 'input_dilation' else 'rhs'}_dilation": (value,) * len(axes)
        for name, value in options.items()
        if name.endswith("_dilation")
    }
    groups = options.get("feature_group_count", 1)
    strides = (1,) * len(axes)
    return lax.conv_general_dilated(
        x, kernel, strides, options["padding"], dimension_numbers=names, feature_group_count=groups, **dilations
    )


def _vjp(call: Callable[..., Any], operand: int, x: jax.Array, kernel: jax.Array, y: jax.Array) -> jax.Array:
    return jax.vjp(call, x, kernel)[1](y)[operand]


def _both_passes(call: Callable[..., Any], x: jax.Array) -> jax.Array:
    y, back = jax.vjp(call, x)
    return back(y)[0]


def _norm(norm: Any, variables: Any, x: jax.Array) -> jax.Array:
    return norm.apply(variables, x, mutable=["batch_stats"])[0]


def layers() -> Iterator[tuple[str, dict[str, float]]]:
    """Milliseconds of each layer, ours and stock."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for calls in layer_programs():
            lowered = [jax.jit(call).lower(*arguments) for _, _, call, arguments in calls]
            rows: dict[str, dict[str, Run]] = {}
            for (row, peer, _, arguments), (compiled, _) in zip(calls, pool.map(_compiled, lowered), strict=True):
                rows.setdefault(row, {})[peer] = functools.partial(compiled, *arguments)
            for row, peers in rows.items():
                yield row, timed(peers)


def timed(peers: dict[str, Run]) -> dict[str, float]:
    """Milliseconds of a call: the median of rounds in which the peers alternate."""
    calls = {}
    for peer, run in peers.items():
        jax.block_until_ready(run())
        began = time.perf_counter()
        jax.block_until_ready(run())
        calls[peer] = max(int(IN_FLIGHT / (time.perf_counter() - began)), 2)
    seconds: dict[str, list[float]] = {peer: [] for peer in peers}
    for _ in range(ROUNDS):
        for peer, run in peers.items():
            began = time.perf_counter()
            for _ in range(calls[peer]):
                last = run()
            jax.block_until_ready(last)
            seconds[peer].append((time.perf_counter() - began) / calls[peer])
    return {peer: round(1000 * statistics.median(times), 4) for peer, times in seconds.items()}


def steps(dtype: str, names: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Milliseconds of training steps, and the figures of their programs."""
    compiling, states = {}, {}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for name in names:
            model_name, shape, options, _ = STEPS[name]
            model = models.create(model_name, dtype=dtype, **{"num_classes": 1000} | options)
            x = jax.random.normal(jax.random.key(0), shape, dtype)
            with jax.default_device(jax.devices("cpu")[0]):
                state = jax.tree.map(np.asarray, initial_state(model, jnp.zeros((1, *shape[1:]), dtype)))
            logits = jax.eval_shape(lambda x, model=model: model.init_with_output(jax.random.key(0), x)[0], x)
            states[name] = (state, x, jnp.zeros(logits.shape[:-1], int))
            layers_by: dict[str, Callable[[], contextlib.AbstractContextManager[None]]] = {
                "ours": contextlib.nullcontext,
                "stock": stock,
            }
            for peer, layers_of in layers_by.items():
                with layers_of():
                    lowered = jax.jit(training_step(model), donate_argnums=(0,)).lower(*states[name])
                compiling[name, peer] = pool.submit(_compiled, lowered)
        compiled = {key: future.result() for key, future in compiling.items()}
    for name in names:
        state, x, labels = states[name]
        programs_of = {peer: compiled[name, peer] for peer in ("ours", "stock")}
        runs = {peer: _training(step, jax.device_put(state), x, labels) for peer, (step, _) in programs_of.items()}
        memory = {peer: step.memory_analysis().temp_size_in_bytes / 1e6 for peer, (step, _) in programs_of.items()}
        yield (
            name,
            {
                "batch": x.shape,
                "milliseconds": timed(runs),
                "compile_seconds": {peer: seconds for peer, (_, seconds) in programs_of.items()},
                "temporary_megabytes": {peer: round(size) for peer, size in memory.items()},
            },
        )


def _compiled(lowered: Any) -> tuple[Any, float]:
    began = time.perf_counter()
    return lowered.compile(), round(time.perf_counter() - began, 1)


def _training(compiled: Any, state: Any, x: jax.Array, labels: jax.Array) -> Run:
    now = [state]

    def run() -> Any:
        now[0], loss = compiled(now[0], x, labels)
        return loss

    return run


def torch_steps() -> Iterator[tuple[str, float]]:
    """Milliseconds of a step of torchvision's networks: channels last, automatic bfloat16, cuDNN's search on."""
    import torch
    import torchvision

    torch.backends.cudnn.benchmark = True
    for name, (_, shape, _, theirs) in STEPS.items():
        if not theirs:
            continue
        model = getattr(torchvision.models, theirs)(weights=None, **WITHOUT_DROPOUT.get(theirs, {}))
        model = model.cuda().to(memory_format=torch.channels_last)
        optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
        x = torch.randn(shape[0], 3, *shape[1:3], device="cuda").to(memory_format=torch.channels_last)
        labels = torch.zeros(shape[0], dtype=torch.long, device="cuda")

        def run(model: Any = model, x: Any = x, labels: Any = labels, optimizer: Any = optimizer) -> None:
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast("cuda", torch.bfloat16):
                loss = torch.nn.functional.cross_entropy(model(x), labels)
            loss.backward()
            optimizer.step()

        for _ in range(4):
            run()
        seconds = []
        for _ in range(ROUNDS):
            torch.cuda.synchronize()
            began = time.perf_counter()
            for _ in range(4):
                run()
            torch.cuda.synchronize()
            seconds.append((time.perf_counter() - began) / 4)
        yield name, round(1000 * statistics.median(seconds), 3)
        del model, optimizer, x
        torch.cuda.empty_cache()


def main() -> None:
    """Measures the parts that are named and adds them to the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True, help="the file to write, or to add to")
    parts: dict[str, Callable[[], Iterator[tuple[str, Any]]]] = {
        "functions": functions,
        "layers": layers,
        "steps_bfloat16": functools.partial(steps, "bfloat16", list(STEPS)),
        "steps_float32": functools.partial(steps, "float32", ["resnet50", "resnet18_cifar"]),
        "torch_bfloat16": torch_steps,
    }
    parser.add_argument("--only", nargs="+", choices=list(parts), default=list(parts))
    options = parser.parse_args()
    content = json.loads(options.json.read_text(encoding="utf-8")) if options.json.exists() else {}
    content["device"] = jax.devices()[0].device_kind
    installed = [package for package in PACKAGES if importlib.util.find_spec(package)]
    content["versions"] = {package: importlib.metadata.version(package) for package in installed}
    for part in options.only:
        if part == "torch_bfloat16" and "torch" not in installed:
            continue
        for name, row in parts[part]():
            print(part, name, row, flush=True)
            content.setdefault(part, {})[name] = row
            options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
