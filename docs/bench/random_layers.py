"""Checks that the algorithm that ``auto`` selects is not slower than stock XLA, on layers drawn at random.

    python docs/bench/random_layers.py --count 200 --json random_layers.json

For each layer and each of its three operations ours and stock take turns in one process, and their fastest runs are
compared. An operation that looks slower than 0.95 of stock is measured again, each time for longer, since a busy moment
of the machine can only lower the ratio of one of the two. Where the choice is XLA's own, both programs are the same and
nothing is measured. What remains below 0.95 is printed with all estimates, so that the estimate that is wrong can be
corrected in the file of its algorithm.
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxcnn.bench._jax_layers import arguments, ours, stock
from jaxcnn.bench._layers import ConvLayer, Entry
from jaxcnn.bench._program import jax_program
from jaxcnn.bench._timing import Clock, measure
from jaxcnn.functional import ConvChoice, explain_conv

LIMIT = 0.95
CLEAR = 2.0  # an operation that is this much faster in a single run is not measured further
CHANNELS = (1, 3, 6, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
SIZES = {
    1: (128, 256, 512, 1000, 2048, 4096),
    2: (7, 8, 14, 15, 16, 28, 31, 32, 56, 64, 96, 112, 192, 224),
    3: (4, 7, 8, 14, 16, 28),
}
WINDOWS = {1: (3, 5, 7, 9, 15, 25), 2: (1, 2, 3, 3, 3, 4, 5, 7, 11), 3: (2, 3, 3, 5)}
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)


def draw_layers(count: int, seed: int) -> list[ConvLayer]:
    """Layers from common ranges, of 2 million to 1 billion multiply-adds and arrays of at most 8 million entries."""
    generator = np.random.default_rng(seed)
    layers: list[ConvLayer] = []

    def pick(values: Any) -> int:
        return int(generator.choice(values))

    while len(layers) < count:
        ndim = pick((1, 2, 2, 2, 2, 3))
        reads, writes, size, window = pick(CHANNELS), pick(CHANNELS[2:]), pick(SIZES[ndim]), pick(WINDOWS[ndim])
        groups = 1
        kind = generator.choice(["dense", "dense", "dense", "dense", "depthwise", "grouped"])
        if kind == "depthwise":
            groups = writes = reads
        elif kind == "grouped":
            groups, writes = pick((2, 4, 8, 16, 32)), reads * pick((1, 1, 2))
        if reads % groups or window > size:
            continue
        layer = ConvLayer(
            name=f"random{len(layers):03}",
            about=str(kind),
            x_shape=(pick(BATCHES), *(size,) * ndim, reads),
            kernel_shape=(*(window,) * ndim, reads // groups, writes),
            strides=pick((1, 1, 1, 2)) if window < 11 else pick((1, 4)),
            padding="SAME" if pick((0, 1)) == 0 else "VALID",
            groups=groups,
        )
        arrays = math.prod(layer.x_shape), math.prod(layer.geometry.out_shape)
        if 2e6 <= layer.geometry.multiply_adds <= 1e9 and max(arrays) <= 8e6:
            layers.append(layer)
    return layers


def _one_run(run: Callable[[], None], clock: Clock) -> float:
    start = clock()
    run()
    return clock() - start


def check(layer: ConvLayer, operation: str, *, seconds: float, tries: int, clock: Clock) -> dict[str, Any]:
    """The ratio of one operation, the highest of ``tries`` while it is below the limit."""
    explanation = explain_conv(layer.x_shape, layer.kernel_shape, platform="cpu", **layer.options)
    choice: ConvChoice = getattr(explanation, operation)
    found: dict[str, Any] = {
        "x_shape": layer.x_shape,
        "kernel_shape": layer.kernel_shape,
        "options": layer.options,
        "operation": operation,
        "algorithm": choice.algorithm,
        "estimates": {each.algorithm: each.seconds for each in choice.candidates if each.seconds is not None},
    }
    if choice.algorithm == "xla":
        return found | {"ratio": 1.0}
    entry = Entry(layer, operation)
    operands = arguments(entry)
    runs = {"ours": jax_program(ours(entry), operands).run, "stock": jax_program(stock(entry), operands).run}
    best = {name: _one_run(run, clock) for name, run in runs.items()}
    if best["stock"] > CLEAR * best["ours"]:
        tries = 0  # XLA's own kernel gradients of groups take seconds
    for attempt in range(tries):
        times = measure(runs, seconds=seconds * 2**attempt, least=5, clock=clock)
        best = {name: min(best[name], times[name].minimum) for name in best}
        if best["stock"] / best["ours"] >= LIMIT:
            break
    return found | {"ratio": best["stock"] / best["ours"], "milliseconds": {name: 1e3 * t for name, t in best.items()}}


def line(found: dict[str, Any]) -> str:
    """One result in words."""
    options = {name: value for name, value in found["options"].items() if value not in (1, "SAME")}
    estimates = ", ".join(f"{name} {1e3 * seconds:.3g}" for name, seconds in found["estimates"].items())
    measured = ", ".join(f"{name} {ms:.3g}" for name, ms in found.get("milliseconds", {}).items())
    return (
        f"{found['ratio']:.3f} {found['operation']} {found['algorithm']} x{found['x_shape']} "
        f"kernel{found['kernel_shape']} {options}; measured ms: {measured}; estimated ms: {estimates}"
    )


def main() -> None:
    """Prints each result that was measured, then those below the limit; ends with status 1 if there are any."""
    parser = argparse.ArgumentParser(description="compares the choice with stock XLA on random layers")
    parser.add_argument("--count", type=int, default=200, help="layers (200)")
    parser.add_argument("--family", action="append", default=[], choices=["dense", "depthwise", "grouped"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=0.3, help="timed seconds of the first try (0.3)")
    parser.add_argument("--tries", type=int, default=4, help="tries of what looks slower, each twice as long (4)")
    parser.add_argument(
        "--cpu-time", action="store_true", help="compare the processor time of all threads, on a machine that is busy"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything as JSON")
    options = parser.parse_args()
    clock = time.process_time if options.cpu_time else time.perf_counter
    layers = draw_layers(options.count, options.seed)
    entries = [
        (layer, operation)
        for layer in layers
        if not options.family or layer.family in options.family
        for operation in layer.operations
    ]
    results = []
    for layer, operation in entries:
        found = check(layer, operation, seconds=options.seconds, tries=options.tries, clock=clock)
        results.append(found)
        if "milliseconds" in found:
            print(line(found), flush=True)
        if options.json is not None:
            options.json.write_text(json.dumps({"jax": jax.__version__, "results": results}), encoding="utf-8")
    slow = [found for found in results if found["ratio"] < LIMIT]
    measured = sum("milliseconds" in found for found in results)
    print(f"\n{len(results)} operations, {measured} of them not XLA's own; {len(slow)} below {LIMIT} of stock:")
    print("\n".join(map(line, slow)))
    raise SystemExit(bool(slow))


if __name__ == "__main__":
    main()
