"""Latency and file sizes of exported networks.

    python docs/bench/exported.py --litert-python VENV/bin/python --json docs/bench/exported.json

    python -m docs.bench.exported --page

The first command times one call of the forward pass: ``jit``, the program of ``portable``, its StableHLO files with
floats and integers, onnxruntime with floats and integers, and LiteRT with floats and integers, for one and two threads
and batches of 1 and 64. First all files are written, on all cores. Then each number of threads has a process of its
own, bound to as many cores. The peers take turns; the least and the median time are kept. LiteRT's packages cannot be
installed with those of the tests, so its files are written and called by processes of another environment, whose
interpreter is ``--litert-python``; these processes wait between their turns. Weights are random: they do not change the
time.

The second command writes the tables of docs/tasks/deployment.md from docs/bench/exported.json.
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
CALIBRATION_IMAGES = 64
LEAST_ROUNDS = 2
PACKAGES = ("jax", "onnxruntime", "ai-edge-litert", "litert-converter")
# Each peer that runs a file, and the suffix of its file.
FILES = {
    "StableHLO": "stablehlo",
    "StableHLO int8": "int8.stablehlo",
    "onnxruntime": "onnx",
    "onnxruntime int8": "int8.onnx",
    "LiteRT": "tflite",
    "LiteRT int8": "int8.tflite",
}
PEERS = ("jit", "portable program", *FILES)
PAGE = Path(__file__).parent.parent / "tasks" / "deployment.md"

Turn = Callable[[], float]  # computes once and returns the seconds


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

    # Activations keep about the same range in all layers, and results are far from 0, so that integers differ little.
    centres = {"scale": 1.0, "var": 1.0, "head": 5.0}

    def draw(path: Any, kind: jax.ShapeDtypeStruct) -> np.ndarray:
        if len(kind.shape) < 2:
            centre = max(centres.get(key.key, 0.0) for key in path[-2:])
            return (centre + generator.uniform(-0.1, 0.1, kind.shape)).astype(np.float32)
        scale = np.sqrt(2 / np.prod(kind.shape[:-1]))
        return (scale * generator.normal(size=kind.shape)).astype(np.float32)

    variables = jax.tree_util.tree_map_with_path(draw, kinds)
    return functools.partial(model.apply, variables, train=False), shape


def images_of(shape: Sequence[int], batch: int) -> Any:
    """Random images."""
    import numpy as np

    return np.random.default_rng(1).normal(size=(batch, *shape)).astype(np.float32)


def file_of(folder: Path, name: str, peer: str, batch: int) -> Path:
    """The file of a network that a peer runs; those of LiteRT have a fixed batch size."""
    size = f"-{batch}" if peer.startswith("LiteRT") else ""
    return folder / f"{name}{size}.{FILES[peer]}"


def write_files(names: Sequence[str], batches: Sequence[int], folder: Path, *, litert: bool) -> None:
    """Writes the files of LiteRT, or all others."""
    from jaxcnn.export import portable, quantize, to_onnx, to_stablehlo, to_tflite

    for name in names:
        function, shape = with_random_variables(name, NETWORKS[name])
        for batch in batches if litert else (None,):
            program = portable(function, (batch, *shape))
            small = quantize(program, images_of(shape, CALIBRATION_IMAGES))
            writers = {"LiteRT": to_tflite} if litert else {"StableHLO": to_stablehlo, "onnxruntime": to_onnx}
            for peer, write in writers.items():
                write(program, file_of(folder, name, peer, batch or 0))
                try:
                    write(small, file_of(folder, name, f"{peer} int8", batch or 0))
                except (
                    ValueError
                ) as error:  # integers of random weights may differ too much: the table has no time then
                    print(error, file=sys.stderr)
        print(f"{name}: files of {', '.join(writers)} are written", file=sys.stderr)


def timed(run: Callable[[], Any]) -> float:
    """The seconds of a call."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def peers(name: str, batch: int, threads: int, folder: Path) -> dict[str, Turn]:
    """A turn of each peer except LiteRT."""
    import jax
    import onnxruntime

    from jaxcnn.export import portable

    function, shape = with_random_variables(name, NETWORKS[name])
    x = images_of(shape, batch)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.x64quantprecision", "1")  # as docs/tasks/deployment.md says
    computed: dict[str, Callable[[Any], Any]] = {
        "jit": jax.jit(function),
        "portable program": portable(function, x.shape),
    }
    runs: dict[str, Callable[[], Any]] = {}
    for peer in FILES:
        file = file_of(folder, name, peer, batch)
        if not file.exists():
            continue
        if peer.startswith("StableHLO"):
            computed[peer] = jax.jit(jax.export.deserialize(bytearray(file.read_bytes())).call)
        elif peer.startswith("onnxruntime"):
            session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
            runs[peer] = functools.partial(session.run, None, {"x": x})
    runs |= {peer: lambda run=run: jax.block_until_ready(run(x)) for peer, run in computed.items()}  # type: ignore[misc]
    return {peer: functools.partial(timed, run) for peer, run in runs.items()}


class LiteRT:
    """LiteRT's peers in a process of another environment.

    Args:
        python: the interpreter of that environment.
        name: of the network.
        batch: number of images of a call.
        threads: number of threads.
        folder: of the files.
    """

    def __init__(self, python: Path, name: str, batch: int, threads: int, folder: Path) -> None:
        words = [str(python), __file__, "--time-litert", name, str(batch)]
        words += ["--threads", str(threads), "--folder", str(folder)]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.turns: dict[str, Turn] = {kind: functools.partial(self._turn, kind) for kind in self._read()}

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


def time_litert(name: str, batch: int, threads: int, folder: Path) -> None:
    """Times LiteRT in its own environment: one measurement for each line of the standard input."""
    from ai_edge_litert.interpreter import Interpreter

    runs = {}
    for peer in FILES:
        file = file_of(folder, name, peer, batch)
        if peer.startswith("LiteRT") and file.exists():
            interpreter = Interpreter(model_path=str(file), num_threads=threads)
            x = images_of(interpreter.get_input_details()[0]["shape"][1:], batch)
            runs[peer] = functools.partial(interpreter.get_signature_runner(), x=x)
    print("LITERT", json.dumps(list(runs)), flush=True)
    for line in sys.stdin:
        print("LITERT", json.dumps(timed(runs[line.strip()])), flush=True)


def time_peers(turns: Mapping[str, Turn], seconds: float) -> dict[str, dict[str, float]]:
    """The least and the median milliseconds of each peer; peers take turns."""
    for turn in turns.values():
        turn()
    found: dict[str, list[float]] = {name: [] for name in turns}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or min(map(len, found.values())) < LEAST_ROUNDS:
        for name, turn in turns.items():
            found[name].append(turn())
    return {
        "least": {name: 1e3 * min(values) for name, values in found.items()},
        "median": {name: 1e3 * statistics.median(values) for name, values in found.items()},
    }


def measure(
    names: Sequence[str], batches: Sequence[int], threads: int, seconds: float, python: Path | None, folder: Path
) -> list[dict[str, Any]]:
    """The rows of all networks for a number of threads, in this process."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    rows: list[dict[str, Any]] = []
    for name in names:
        for batch in batches:
            turns = peers(name, batch, threads, folder)
            other = None if python is None else LiteRT(python, name, batch, threads, folder)
            milliseconds = time_peers(turns if other is None else turns | other.turns, seconds)
            if other is not None:
                other.close()
            files = {peer: file_of(folder, name, peer, batch) for peer in FILES}
            sizes = {peer: file.stat().st_size for peer, file in files.items() if file.exists()}
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


def page() -> str:
    """The page about deployment with the tables of the results, if there are any."""
    from docs.reports.report import with_tables

    text, file = PAGE.read_text(encoding="utf-8"), Path(__file__).with_suffix(".json")
    if not file.exists():
        return text
    return with_tables(text, {"exported": table(json.loads(file.read_text(encoding="utf-8"))["rows"])})


def main() -> None:
    """Measures and prints, as the options say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--batches", nargs="+", type=int, default=list(BATCHES))
    parser.add_argument("--numbers-of-threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--seconds", type=float, default=6, help="for each network, batch and number of threads")
    parser.add_argument("--json", type=Path, help="where the results are written")
    parser.add_argument("--litert-python", type=Path, help="Python of an environment with jaxcnn[tflite]")
    parser.add_argument("--page", action="store_true", help="write the tables of the page instead")
    # Processes of the first command:
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--write", choices=["litert", "others"], help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--time-litert", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    names, batches, python, folder = options.networks, options.batches, options.litert_python, options.folder
    if options.page:
        PAGE.write_text(page(), encoding="utf-8")
    elif options.write is not None:
        write_files(names, batches, folder, litert=options.write == "litert")
    elif options.time_litert is not None:
        time_litert(options.time_litert[0], int(options.time_litert[1]), options.threads, folder)
    elif options.threads is not None:
        json.dump(measure(names, batches, options.threads, options.seconds, python, folder), sys.stdout)
    else:
        rows = in_processes(names, batches, options.numbers_of_threads, options.seconds, python)
        if options.json is not None:
            results = {"versions": versions(python), "rows": rows}
            options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
        print(table(rows))


def in_processes(
    names: Sequence[str], batches: Sequence[int], numbers: Sequence[int], seconds: float, python: Path | None
) -> list[dict[str, Any]]:
    """The rows of all numbers of threads, in processes that share the files."""
    words = ["--networks", *names, "--batches", *map(str, batches), "--seconds", str(seconds)]
    words += [] if python is None else ["--litert-python", str(python)]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        words += ["--folder", folder]
        writers = {"others": sys.executable} | ({} if python is None else {"litert": str(python)})
        processes = [subprocess.Popen([each, __file__, *words, "--write", kind]) for kind, each in writers.items()]
        statuses = [process.wait() for process in processes]
        if any(statuses):
            raise RuntimeError("files could not be written; the errors are above.")
        for threads in numbers:
            command = [sys.executable, __file__, *words, "--threads", str(threads)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            rows += json.loads(done.stdout.splitlines()[-1])
    return rows


if __name__ == "__main__":
    main()
