"""Layers that are slower than PyTorch's with freed memory kept by both, and steps of two video networks.

    taskset -c 1 python docs/bench/above_torch.py --json docs/bench/above_torch.json

Ours, ours with a table of ``jaxcnn bench --tune`` (which includes oneDNN) and PyTorch take turns in one process, after
``jaxcnn.keep_freed_memory()``; the run of the least processor time counts. The process has one core, so that processor
time is the time of the computation whatever else the machine runs. Each step of a video network runs in a process of
its own, in turns: ours, the same model with Flax's layers, and PyTorch's. ``docs/bench/page.py --above-torch`` writes
the tables.
"""

import argparse
import contextlib
import functools
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

PEERS = ("ours", "ours, tuned", "torch")
PACKAGES = ("jax", "jaxlib", "flax", "torch")


class Family(NamedTuple):
    """Entries of the suite (``jaxcnn bench``), and why they are slower than PyTorch's."""

    entries: dict[str, tuple[str, ...]]
    cause: str


CONVOLUTION = ("forward", "input_grad", "kernel_grad")
FAMILIES = {
    "kernel gradients of few channels": Family(
        {"cifar_air64": ("kernel_grad",), "whiten2x2": ("kernel_grad",)},
        "The transforms of minimal filtering, and the rows of windows of 3 channels, are copies that oneDNN does not "
        "make: it reads the windows in place.",
    ),
    "depthwise, forward": Family(
        dict.fromkeys(("dw3_128", "dw3s2_128", "dw3_384_N64", "dw7_96", "dw7_384"), ("forward",)),
        "Each product of the loop that XLA compiles loads its operand from memory, where oneDNN keeps a row of the "
        "image in registers; `tuned` selects oneDNN.",
    ),
    "3-D": Family(
        dict.fromkeys(("c3d_16", "c3d_64"), CONVOLUTION),
        "The taps of the first axis are copied to channels, so that the image is written and read three times.",
    ),
    "batch norm": Family(
        dict.fromkeys(("norm64", "norm512", "norm64_air"), ("forward", "forward_backward")),
        "XLA does not fuse the difference from the mean, or the square, into a reduction, and writes each to memory.",
    ),
    "grouped": Family(
        dict.fromkeys(("grp32_128", "grp32_1024", "grp4_64"), CONVOLUTION),
        "Blocks of at least 16 channels are multiplied whole, and most of their products are with zeros; oneDNN "
        "multiplies the groups alone.",
    ),
}
VIDEO_SHAPE = (1, 16, 112, 112, 3)
VIDEO_PEERS = ("ours", "stock", "torch")
VIDEO_CAUSE = (
    "XLA has no fast 3-D convolution on a CPU, so stock Flax computes each product in a loop of its own. Ours are 2-D "
    "convolutions of copied planes, and the copies and their kernel gradients are what is left above PyTorch."
)


def time_layers(names: Iterable[str], seconds: float) -> list[dict[str, Any]]:
    """The least milliseconds of each peer for the operations of some families."""
    from jaxcnn.bench import LAYERS, Entry

    layers = {layer.name: layer for layer in LAYERS}
    rows = []
    for family in names:
        for name, operations in FAMILIES[family].entries.items():
            for operation in operations:
                row = {"family": family, "name": name, "about": layers[name].about, "operation": operation}
                rows.append(row | _time_entry(Entry(layers[name], operation), seconds))
                print(rows[-1], flush=True)
    return rows


def _time_entry(entry: Any, seconds: float) -> dict[str, Any]:
    """Milliseconds by peer, and the algorithms of a convolution."""
    from jaxcnn.bench import _jax_layers, _torch_layers, operations_of_suite, time_algorithms, tuning_table
    from jaxcnn.bench._program import jax_program
    from jaxcnn.bench._timing import measure
    from jaxcnn.functional.tuning import use_tuning

    arguments = _jax_layers.arguments(entry)
    torch = _torch_layers.make(entry, arguments)
    assert torch is not None, entry
    programs = {"ours": jax_program(_jax_layers.ours(entry), arguments), "torch": torch}
    row: dict[str, Any] = {"algorithm": _jax_layers.algorithm(entry)}
    if row["algorithm"]:
        (operation,) = operations_of_suite([entry])
        measured = time_algorithms(operation, seconds=seconds / 2)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".json") as file:
            json.dump(tuning_table({operation.key: measured}), file)
            file.flush()
            with use_tuning(file.name):
                row["tuned"] = _jax_layers.algorithm(entry)
                if row["tuned"] != row["algorithm"]:
                    programs["ours, tuned"] = jax_program(_jax_layers.ours(entry), arguments)
    times = measure({peer: program.run for peer, program in programs.items()}, seconds=seconds)
    found = {peer: 1e3 * each.minimum for peer, each in times.items()}
    return row | {"milliseconds": {"ours, tuned": found["ours"]} | found}


def time_video(model: str, peer: str, shape: tuple[int, ...], runs: int) -> dict[str, Any]:
    """The fastest step of a video network in this process, and its number of parameters."""
    run, parameters = _torch_video(model, shape) if peer == "torch" else _our_video(model, peer, shape)
    if peer != "stock":  # a step of stock is too long for one that is not counted
        run()
    fastest = float("inf")
    for _ in range(runs):
        began = time.perf_counter()
        run()
        fastest = min(fastest, time.perf_counter() - began)
    return {"milliseconds": 1e3 * fastest, "parameters": parameters}


def _our_video(name: str, peer: str, shape: tuple[int, ...]) -> tuple[Any, int]:
    import jax
    import jax.numpy as jnp

    from docs.bench.compiled_steps import stock
    from jaxcnn import models
    from jaxcnn.bench._program import compile_jax, random_array
    from jaxcnn.bench._steps import initial_state, training_step

    options: dict[str, Any] = {"dropout_rate": 0.0} if name == "c3d" else {}
    model = models.create(name, **options)
    x, labels = jnp.asarray(random_array("x", shape)), jnp.zeros(shape[0], jnp.int32)
    now = initial_state(model, x)
    with stock() if peer == "stock" else contextlib.nullcontext():
        step, _ = compile_jax(training_step(model), (now, x, labels), donate_argnums=(0,))

    def run() -> None:
        nonlocal now
        now, _ = jax.block_until_ready(step(now, x, labels))

    return run, sum(leaf.size for leaf in jax.tree.leaves(now[0]))


def _torch_video(name: str, shape: tuple[int, ...]) -> tuple[Any, int]:
    from jaxcnn.bench._program import random_array
    from jaxcnn.bench._torch_layers import load
    from jaxcnn.bench._torch_models import _one_run

    torch = load()
    runs, parameters = [], 0
    for form in (torch.contiguous_format, torch.channels_last_3d):
        model = TORCH_VIDEO[name](torch).to(memory_format=form).train()
        x = torch.from_numpy(random_array("x", shape)).permute(0, 4, 1, 2, 3).contiguous(memory_format=form)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        labels = torch.zeros(shape[0], dtype=torch.int64)
        runs.append(functools.partial(_torch_step, torch, model, optimizer, x, labels))
        parameters = sum(parameter.numel() for parameter in model.parameters())
    return min(runs, key=_one_run), parameters


def _torch_step(torch: Any, model: Any, optimizer: Any, x: Any, labels: Any) -> None:
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(model(x), labels).backward()
    optimizer.step()


def _torch_c3d(torch: Any) -> Any:
    nn, layers, before = torch.nn, [], 3
    for stage, (size, width) in enumerate(zip((1, 1, 2, 2, 2), (64, 128, 256, 512, 512), strict=True)):
        for _ in range(size):
            layers += [nn.Conv3d(before, width, 3, padding=1), nn.ReLU(inplace=True)]
            before = width
        layers.append(nn.MaxPool3d((2 if stage else 1, 2, 2), ceil_mode=True))
    dense = [nn.Flatten(), nn.Linear(8192, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 487)]
    return nn.Sequential(*layers, *dense)


def _torch_r3d_18(torch: Any) -> Any:
    from jaxcnn.bench._torch_models import _function, _residual

    nn = torch.nn

    def conv(before: int, after: int, window: Any, strides: Any, padding: Any) -> list[Any]:
        return [nn.Conv3d(before, after, window, strides, padding, bias=False), nn.BatchNorm3d(after)]

    layers, before = [*conv(3, 64, (3, 7, 7), (1, 2, 2), (1, 3, 3)), nn.ReLU(inplace=True)], 64
    for width, first in ((64, 1), (128, 2), (256, 2), (512, 2)):
        for strides in (first, 1):
            branch = [*conv(before, width, 3, strides, 1), nn.ReLU(inplace=True), *conv(width, width, 3, 1, 1)]
            same = strides == 1 and before == width
            shortcut = nn.Identity() if same else nn.Sequential(*conv(before, width, 1, strides, 0))
            layers.append(_residual(torch, nn.Sequential(*branch), shortcut, nn.ReLU(inplace=True)))
            before = width
    return nn.Sequential(*layers, _function(torch, lambda x: x.mean((2, 3, 4))), nn.Linear(512, 400))


TORCH_VIDEO = {"c3d": _torch_c3d, "r3d_18": _torch_r3d_18}


def compare_video(names: Iterable[str], shape: tuple[int, ...], rounds: int, runs: int) -> dict[str, Any]:
    """The least time of each peer over all rounds; each network has as many parameters in PyTorch as in ours."""
    found: dict[str, Any] = {}
    for _ in range(rounds):
        for name in names:
            for peer in VIDEO_PEERS:
                command = [sys.executable, __file__, "--one", name, peer, "--runs", str(runs)]
                command += ["--shape", *map(str, shape)]
                environment = {**os.environ, "JAX_ENABLE_COMPILATION_CACHE": "false"}
                done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
                now = json.loads(done.stdout.splitlines()[-1])
                about = found.setdefault(name, {"input": shape, "parameters": now["parameters"], "milliseconds": {}})
                assert about["parameters"] == now["parameters"], (name, peer)
                times = about["milliseconds"]
                times[peer] = min(now["milliseconds"], times.get(peer, float("inf")))
                print(name, peer, now, flush=True)
    return found


def tables(measured: Mapping[str, Any]) -> str:
    """Both tables in Markdown, with a sentence of cause for each family."""
    from jaxcnn.cli._bench_tables import markdown, number

    rows = []
    for each in measured["layers"]:
        times = each["milliseconds"]
        ratios = [number(times[peer] / times["torch"]) for peer in PEERS[:2]]
        algorithms = [each["algorithm"] or "-", each.get("tuned", "-")]
        rows.append([each["name"], each["operation"], *algorithms, *(number(times[p]) for p in PEERS), *ratios])
    heads = ["layer", "operation", "algorithm", "tuned", "ours ms", "tuned ms", "PyTorch ms", "ours / PyTorch", "tuned"]
    present = {each["family"] for each in measured["layers"]}
    causes = [f"- {name[0].upper()}{name[1:]}. {each.cause}" for name, each in FAMILIES.items() if name in present]
    steps = []
    for name, each in measured["steps"].items():
        times, shape = each["milliseconds"], "x".join(map(str, each["input"]))
        ratios = [number(times["ours"] / times["torch"]), number(times["stock"] / times["ours"])]
        steps.append([f"`{name}`", shape, *(number(times[peer]) for peer in VIDEO_PEERS), *ratios])
    step_heads = ["step", "input", "ours ms", "stock ms", "PyTorch ms", "ours / PyTorch", "stock / ours"]
    versions = ", ".join(f"{name} {version}" for name, version in measured["versions"].items())
    about = f"Measured with {versions}. Times are the least processor times on one core, in milliseconds."
    return "\n\n".join(
        [markdown(heads, rows), "\n".join(causes), markdown(step_heads, steps), VIDEO_CAUSE, about]
    ).replace("\n\n\n", "\n\n")


def main() -> None:
    """Reads the options, measures, and writes the JSON file after each part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="the file to write, or to add to")
    parser.add_argument("--families", nargs="*", default=list(FAMILIES), choices=list(FAMILIES), metavar="FAMILY")
    parser.add_argument("--models", nargs="*", default=list(TORCH_VIDEO), choices=list(TORCH_VIDEO))
    parser.add_argument("--seconds", type=float, default=2.0, help="of all peers of an operation")
    parser.add_argument("--rounds", type=int, default=2, help="of the processes of video networks")
    parser.add_argument("--runs", type=int, default=2, help="steps of each of these processes")
    parser.add_argument("--shape", nargs=5, type=int, default=VIDEO_SHAPE, help="of a batch of videos")
    parser.add_argument("--one", nargs=2, metavar=("MODEL", "PEER"), help="time one in this process and print JSON")
    options = parser.parse_args()
    assert len(os.sched_getaffinity(0)) == 1, "processor time is the time of a computation on one core alone"
    time.perf_counter = time.process_time  # before jaxcnn.bench is imported, so that all its clocks are this one
    import jaxcnn

    jaxcnn.keep_freed_memory()
    if options.one:
        model, peer = options.one
        print(json.dumps(time_video(model, peer, tuple(options.shape), options.runs)))
        return
    content: dict[str, Any] = {"layers": [], "steps": {}}
    if options.json.exists():
        content |= json.loads(options.json.read_text(encoding="utf-8"))
    content["versions"] = {name: importlib.metadata.version(name) for name in PACKAGES}
    again = [each for each in content["layers"] if each["family"] not in options.families]
    content["layers"] = again + time_layers(options.families, options.seconds)
    content["steps"] |= compare_video(options.models, tuple(options.shape), options.rounds, options.runs)
    options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
