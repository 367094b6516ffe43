"""Latency and file sizes of exported networks.

    python docs/bench/exported.py --litert-python VENV/bin/python --json docs/bench/exported.json
    python docs/bench/exported.py --page docs/bench/exported.json

The first command times one call of the forward pass: ``jit``, the portable program, its integers in JAX, onnxruntime
with floats and integers, and LiteRT with floats and integers, for one and two threads and batches of 1 and 64. Each
number of threads has a process of its own, bound to as many cores. The peers take turns; the least and the median time
are kept. LiteRT's packages exclude those of the tests, so its calls run in a process of another environment, which
``--litert-python`` names; it waits between its turns. Weights are random: they do not change the time.

The second command prints the results in Markdown.
"""

import argparse
import functools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

NETWORKS = {"lenet5": 32, "resnet18_cifar": 32, "resnet18": 224, "mobilenet_v2": 224}
BATCHES = (1, 64)
PACKAGES = ("jax", "onnxruntime", "ai-edge-litert", "litert-converter")
PEERS = ("jit", "portable program", "int8 in JAX", "onnxruntime", "onnxruntime int8", "LiteRT", "LiteRT int8")

Turn = Callable[[], float]  # computes once; the seconds


def with_random_variables(name: str, side: int) -> tuple[Callable[[Any], Any], tuple[int, int, int]]:
    """A network as a function of images, and the shape of one image; nothing is compiled for its variables."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from jaxcnn import models

    model, channels = models.create(name), models.info(name).input_shape[-1]
    shape = (side, side, channels)
    kinds = jax.eval_shape(functools.partial(model.init, train=False), jax.random.key(0), jnp.zeros((1, *shape)))
    generator = np.random.default_rng(0)

    def draw(kind: jax.ShapeDtypeStruct) -> np.ndarray:
        if len(kind.shape) < 2:
            return generator.uniform(0.5, 1.5, kind.shape).astype(np.float32)
        scale = np.sqrt(2 / np.prod(kind.shape[:-1]))
        return (scale * generator.normal(size=kind.shape)).astype(np.float32)

    variables = jax.tree.map(draw, kinds)
    return functools.partial(model.apply, variables, train=False), shape


def prepared(name: str, batch: int) -> tuple[Callable[[Any], Any], Any, Any, Any]:
    """A network as a function, its images, its program, and its program of integers."""
    import numpy as np

    from jaxcnn.export import portable, quantize

    function, shape = with_random_variables(name, NETWORKS[name])
    x = np.random.default_rng(1).normal(size=(batch, *shape)).astype(np.float32)
    program = portable(function, x.shape)
    return function, x, program, quantize(program, x)


def timed(run: Callable[[], Any]) -> float:
    """The seconds of a call."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def peers(name: str, batch: int, threads: int, folder: Path) -> tuple[dict[str, Turn], dict[str, int]]:
    """A turn of each peer but LiteRT, and the sizes of the files in bytes."""
    import jax
    import onnxruntime

    from jaxcnn.export import to_onnx

    function, x, program, small = prepared(name, batch)
    files = {"onnxruntime": folder / "float.onnx", "onnxruntime int8": folder / "int8.onnx"}
    for file, written in zip(files.values(), (program, small), strict=True):
        to_onnx(written, file)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.x64quantprecision", "1")  # as docs/tasks/deployment.md says
    own = jax.jit(function)
    runs: dict[str, Callable[[], Any]] = {
        "jit": lambda: own(x).block_until_ready(),
        "portable program": lambda: jax.block_until_ready(program(x)),
        "int8 in JAX": lambda: jax.block_until_ready(small(x)),
    }
    for kind, file in files.items():
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        runs[kind] = functools.partial(session.run, None, {"x": x})
    turns: dict[str, Turn] = {kind: functools.partial(timed, run) for kind, run in runs.items()}
    return turns, {kind: file.stat().st_size for kind, file in files.items()}


class LiteRT:
    """LiteRT's peers in a process of another environment.

    Args:
        python: the interpreter of that environment.
        name: of the network.
        batch: number of images of a call.
        threads: number of threads.
    """

    def __init__(self, python: Path, name: str, batch: int, threads: int) -> None:
        words = [str(python), __file__, "--time-litert", name, str(batch), "--threads", str(threads)]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.sizes: dict[str, int] = self._read()
        self.turns: dict[str, Turn] = {kind: functools.partial(self._turn, kind) for kind in self.sizes}

    def _turn(self, kind: str) -> float:
        assert self._process.stdin is not None
        self._process.stdin.write(kind + "\n")
        self._process.stdin.flush()
        return float(self._read())

    def _read(self) -> Any:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("LITERT "):
                return json.loads(line.removeprefix("LITERT "))
        raise RuntimeError(f"the process of LiteRT ended with status {self._process.wait()}; its errors are above.")

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def time_litert(name: str, batch: int, threads: int) -> None:
    """Times LiteRT in its own environment: one measurement for each line of the standard input."""
    from ai_edge_litert.interpreter import Interpreter

    from jaxcnn.export import to_tflite

    _, x, program, small = prepared(name, batch)
    with tempfile.TemporaryDirectory() as folder:
        runs, sizes = {}, {}
        for kind, written in {"LiteRT": program, "LiteRT int8": small}.items():
            file = Path(folder) / f"{kind}.tflite"
            to_tflite(written, file)
            call = Interpreter(model_path=str(file), num_threads=threads).get_signature_runner()
            runs[kind], sizes[kind] = functools.partial(call, x=x), file.stat().st_size
        print("LITERT", json.dumps(sizes), flush=True)
        for line in sys.stdin:
            print("LITERT", json.dumps(timed(runs[line.strip()])), flush=True)


def time_peers(turns: Mapping[str, Turn], seconds: float) -> dict[str, dict[str, float]]:
    """The least and the median milliseconds of each peer; peers take turns."""
    for turn in turns.values():
        turn()
        turn()
    found: dict[str, list[float]] = {name: [] for name in turns}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or min(map(len, found.values())) < 3:
        for name, turn in turns.items():
            found[name].append(turn())
    return {
        "least": {name: 1e3 * min(values) for name, values in found.items()},
        "median": {name: 1e3 * statistics.median(values) for name, values in found.items()},
    }


def measure(
    names: Sequence[str], batches: Sequence[int], threads: int, seconds: float, python: Path | None
) -> list[dict[str, Any]]:
    """The rows of all networks for a number of threads, in this process."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    rows: list[dict[str, Any]] = []
    for name in names:
        for batch in batches:
            with tempfile.TemporaryDirectory() as folder:
                turns, sizes = peers(name, batch, threads, Path(folder))
                other = None if python is None else LiteRT(python, name, batch, threads)
                if other is not None:
                    turns, sizes = turns | other.turns, sizes | other.sizes
                milliseconds = time_peers(turns, seconds)
                if other is not None:
                    other.close()
            rows.append({"network": name, "batch": batch, "threads": threads, "bytes": sizes, **milliseconds})
            print(f"{name}, batch {batch}, {threads} threads: done", file=sys.stderr)
    return rows


def versions(python: Path | None) -> dict[str, str]:
    """The versions of the packages, those of LiteRT's environment in parentheses."""
    code = (
        "import importlib.metadata as m, json\n"
        "names = {d.metadata['Name'].lower(): d.version for d in m.distributions()}\n"
        f"print(json.dumps({{n: names[n] for n in {PACKAGES} if n in names}}))"
    )
    found: dict[str, str] = json.loads(subprocess.check_output([sys.executable, "-c", code], text=True))
    if python is not None:
        others = json.loads(subprocess.check_output([str(python), "-c", code], text=True))
        found |= {f"{name} (LiteRT)": version for name, version in others.items()}
    return {"python": platform.python_version(), **found}


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The least milliseconds of a call of each peer, and the sizes of the files, in Markdown.

    >>> times = {"jit": 1.26, "onnxruntime": 1.0}
    >>> row = {"network": "lenet5", "batch": 1, "threads": 1, "bytes": {"onnxruntime": 250_000}, "least": times}
    >>> print(table([row]))
    | network | batch | threads | jit | onnxruntime |
    | --- | --- | --- | --- | --- |
    | `lenet5` | 1 | 1 | 1.26 | 1.00 |
    <BLANKLINE>
    | network | onnxruntime |
    | --- | --- |
    | `lenet5` | 0.25 MB |
    """
    names = [name for name in PEERS if any(name in row["least"] for row in rows)]
    files = [name for name in names if any(name in row["bytes"] for row in rows)]
    cells = [["network", "batch", "threads", *names]]
    for row in rows:
        times = [f"{row['least'][name]:.3g}" if name in row["least"] else "" for name in names]
        times = [f"{float(text):.2f}" if text and float(text) < 10 else text for text in times]
        cells.append([f"`{row['network']}`", str(row["batch"]), str(row["threads"]), *times])
    sizes = [["network", *files]]
    for network, row in {row["network"]: row for row in reversed(rows)}.items():  # the first row of each network
        megabytes = [f"{row['bytes'][name] / 1e6:.2f} MB" if name in row["bytes"] else "" for name in files]
        sizes.insert(1, [f"`{network}`", *megabytes])
    return "\n\n".join(
        "\n".join("| " + " | ".join(line) + " |" for line in (part[0], ["---"] * len(part[0]), *part[1:]))
        for part in (cells, sizes)
    )


def main() -> None:
    """Measures and prints, as the options say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--batches", nargs="+", type=int, default=list(BATCHES))
    parser.add_argument("--numbers-of-threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--seconds", type=float, default=20, help="for each network, batch and number of threads")
    parser.add_argument("--json", type=Path, help="where the results are written")
    parser.add_argument("--litert-python", type=Path, help="Python of an environment with jaxcnn[tflite]")
    parser.add_argument("--page", type=Path, metavar="JSON", help="print these results in Markdown instead")
    parser.add_argument("--threads", type=int, help=argparse.SUPPRESS)  # one process of the first command
    parser.add_argument("--time-litert", nargs=2, help=argparse.SUPPRESS)  # its own process
    options = parser.parse_args()
    if options.page is not None:
        print(table(json.loads(options.page.read_text(encoding="utf-8"))["rows"]))
        return
    if options.time_litert is not None:
        time_litert(options.time_litert[0], int(options.time_litert[1]), options.threads)
        return
    python = options.litert_python
    if options.threads is not None:
        found = measure(options.networks, options.batches, options.threads, options.seconds, python)
        json.dump(found, sys.stdout)
        return
    words = ["--networks", *options.networks, "--batches", *map(str, options.batches)]
    words += ["--seconds", str(options.seconds), *([] if python is None else ["--litert-python", str(python)])]
    rows: list[dict[str, Any]] = []
    for threads in options.numbers_of_threads:
        command = [sys.executable, __file__, *words, "--threads", str(threads)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        rows += json.loads(done.stdout.splitlines()[-1])
    if options.json is not None:
        results = {"versions": versions(python), "rows": rows}
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(table(rows))


if __name__ == "__main__":
    main()
