"""Times of suppression and of regions of interest, next to torchvision on this machine.

    python -m docs.bench.boxes --rounds 20 --json docs/bench/boxes.json       (requires PyTorch and torchvision)
    python -m docs.bench.boxes --page

The second command writes the table of docs/tasks/detection.md from this file. Both libraries compute the same boxes in
one process and take turns; the least time of all rounds counts. Each result is compared with torchvision's before it is
timed.
"""

import argparse
import importlib.metadata
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from docs.reports.report import markdown, with_tables
from jaxcnn import functional as F

PAGE = Path(__file__).parent.parent / "tasks" / "detection.md"
Pair = tuple[Callable[[], Any], Callable[[], Any]]


def boxes(number: int, side: float, rng: np.random.Generator) -> np.ndarray:
    """Boxes of a twentieth to a third of an image."""
    low = rng.uniform(0, 0.7 * side, (number, 2))
    return np.concatenate([low, low + rng.uniform(0.05 * side, 0.3 * side, (number, 2))], -1).astype(np.float32)


def of_nms(number: int, threshold: float) -> Pair:
    """Suppression of a list of boxes."""
    import torch
    import torchvision

    rng = np.random.default_rng(0)
    given, scores = boxes(number, 800, rng), rng.random(number, np.float32)
    ours = jax.jit(lambda b, s: F.nms(b, s, iou_threshold=threshold, max_output=number))
    arrays, tensors = jax.device_put((given, scores)), (torch.from_numpy(given), torch.from_numpy(scores))
    index, valid = jax.device_get(ours(*arrays))
    assert index[valid].tolist() == torchvision.ops.nms(*tensors, threshold).tolist()
    return lambda: jax.block_until_ready(ours(*arrays)), lambda: torchvision.ops.nms(*tensors, threshold)


def of_regions(number: int, shape: tuple[int, int, int], *, gradient: bool = False, pool: bool = False) -> Pair:
    """RoIAlign of boxes in a map of stride 16, 7x7 bins of 2x2 samples, or RoIPool; or its gradient for the map."""
    import torch
    import torchvision

    rng = np.random.default_rng(0)
    x, given = rng.standard_normal(shape).astype(np.float32), boxes(number, 16 * min(shape[:2]), rng)

    def regions(x: jax.Array, b: jax.Array) -> jax.Array:
        if pool:
            return F.roi_pool(x, b, output_size=7, spatial_scale=1 / 16)
        return F.roi_align(x, b, output_size=7, spatial_scale=1 / 16, sampling_ratio=2, aligned=False)

    ours = jax.jit(jax.grad(lambda x, b: (regions(x, b) ** 2).sum()) if gradient else regions)
    arrays = jax.device_put((x, given))
    map_there, boxes_there = torch.from_numpy(x.transpose(2, 0, 1)[None].copy()), [torch.from_numpy(given)]

    def theirs() -> Any:
        leaf = map_there.detach().requires_grad_(gradient)
        if pool:
            found = torchvision.ops.roi_pool(leaf, boxes_there, 7, 1 / 16)
        else:
            found = torchvision.ops.roi_align(leaf, boxes_there, 7, 1 / 16, 2, False)
        if not gradient:
            return found
        (found**2).sum().backward()
        return leaf.grad

    expected = np.moveaxis(theirs().numpy(), 1, -1)
    np.testing.assert_allclose(ours(*arrays), expected[0] if gradient else expected, atol=1e-4 * np.abs(expected).max())
    return lambda: jax.block_until_ready(ours(*arrays)), theirs


def least(pair: Pair, rounds: int) -> list[float]:
    """The least milliseconds of both functions, which are called in turn."""
    times: list[list[float]] = [[], []]
    for _ in range(rounds):
        for call, found in zip(pair, times, strict=True):
            start = time.perf_counter()
            call()
            found.append(1000 * (time.perf_counter() - start))
    return [min(found) for found in times]


def page() -> str:
    """The page with the times of the file."""
    measured = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    rows = [
        [name, f"{each['ours']:.3g}", f"{each['torchvision']:.3g}", f"{each['ours'] / each['torchvision']:.2f}"]
        for name, each in measured["milliseconds"].items()
    ]
    versions = ", ".join(f"{name} {version}" for name, version in measured["versions"].items())
    cores = "one core" if measured["cores"] == 1 else f"{measured['cores']} cores"
    table = markdown(["operation", "ours, ms", "torchvision, ms", "ours / torchvision"], rows)
    return with_tables(PAGE.read_text(encoding="utf-8"), {"boxes": f"{table}\n\nMeasured on {cores} with {versions}."})


def main() -> None:
    """Prints a line for each pair, and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--page", action="store_true", help="write the table of the page instead")
    options = parser.parse_args()
    if options.page:
        PAGE.write_text(page(), encoding="utf-8")
        return
    pairs = {
        "nms, 2,000 boxes, 0.5": lambda: of_nms(2000, 0.5),
        "nms, 2,000 boxes, 0.7": lambda: of_nms(2000, 0.7),
        "roi_align, 512 boxes, map 50x68x256": lambda: of_regions(512, (50, 68, 256)),
        "gradient of roi_align": lambda: of_regions(512, (50, 68, 256), gradient=True),
        "roi_pool, 512 boxes, map 50x68x256": lambda: of_regions(512, (50, 68, 256), pool=True),
        "gradient of roi_pool": lambda: of_regions(512, (50, 68, 256), gradient=True, pool=True),
    }
    results = {}
    for name, make in pairs.items():
        ours, theirs = least(make(), options.rounds)
        results[name] = {"ours": round(ours, 2), "torchvision": round(theirs, 2)}
        print(
            f"{name:36} {ours:9.2f} ms   torchvision {theirs:9.2f} ms   {theirs / ours:5.2f} times as fast", flush=True
        )
    if options.json is not None:
        versions = {name: importlib.metadata.version(name) for name in ("jax", "torch", "torchvision")}
        cores = len(os.sched_getaffinity(0))
        content = {"versions": versions, "cores": cores, "rounds": options.rounds, "milliseconds": results}
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
