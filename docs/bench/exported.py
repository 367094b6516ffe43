"""Latency and size of exported networks, and the accuracy of a run after quantization and approximation.

    python docs/bench/exported.py --json exported.json
    python docs/bench/exported.py --run runs/mine

The first form times the forward pass of ``jit``, of the portable program, of its integers in JAX, of onnxruntime with
floats and integers, and of LiteRT where it is installed, for one and two threads and batches of 1 and 64. Every number
of threads is a process of its own, bound to as many cores. Peers take turns; the least and the median time are kept.
Weights are random: they do not change the time.

The second form evaluates a run on its whole test set: the run itself, eight-bit integers in JAX and in onnxruntime, and
separable convolutions and pruned filters at half of the multiply-adds, without training them further.
"""

import argparse
import functools
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

NETWORKS = {"lenet5": 32, "resnet18_cifar": 32, "resnet18": 224, "mobilenet_v2": 224}
CALIBRATION_IMAGES = 200


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


def peers(name: str, batch: int, threads: int, folder: Path) -> tuple[dict[str, Callable[[], Any]], dict[str, int]]:
    """A function of no arguments for each peer, and the sizes of the files in bytes."""
    import jax
    import numpy as np
    import onnxruntime

    from jaxcnn.export import portable, quantize, to_onnx

    function, shape = with_random_variables(name, NETWORKS[name])
    x = np.random.default_rng(1).normal(size=(batch, *shape)).astype(np.float32)
    program = portable(function, x.shape)
    small = quantize(program, x)
    files = {"float32": folder / "float.onnx", "int8": folder / "int8.onnx"}
    to_onnx(program, files["float32"])
    to_onnx(small, files["int8"])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    sessions = {
        kind: onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        for kind, file in files.items()
    }
    own = jax.jit(function)
    runs: dict[str, Callable[[], Any]] = {
        "jit": lambda: own(x).block_until_ready(),
        "portable program": lambda: jax.block_until_ready(program(x)),
        "int8 in JAX": lambda: jax.block_until_ready(small(x)),
        "onnxruntime": lambda: sessions["float32"].run(None, {"x": x}),
        "onnxruntime int8": lambda: sessions["int8"].run(None, {"x": x}),
    }
    if importlib.util.find_spec("litert_converter") is not None:
        for kind, chosen in {"LiteRT": program, "LiteRT int8": small}.items():
            files[kind] = folder / f"{kind}.tflite"
            runs[kind] = litert(chosen, files[kind], x, threads)
    return runs, {kind: file.stat().st_size for kind, file in files.items()}


def litert(program: Any, file: Path, x: Any, threads: int) -> Callable[[], Any]:
    """A function of no arguments that runs a program as a file of LiteRT."""
    from ai_edge_litert.interpreter import Interpreter

    from jaxcnn.export import to_tflite

    to_tflite(program, file)
    call = Interpreter(model_path=str(file), num_threads=threads).get_signature_runner()
    return functools.partial(call, x=x)


def time_peers(runs: dict[str, Callable[[], Any]], seconds: float) -> dict[str, dict[str, float]]:
    """The least and the median milliseconds of each peer; peers take turns."""
    for run in runs.values():
        run()
        run()
    found: dict[str, list[float]] = {name: [] for name in runs}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or min(map(len, found.values())) < 3:
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            found[name].append(time.perf_counter() - began)
    return {
        "least": {name: 1e3 * min(values) for name, values in found.items()},
        "median": {name: 1e3 * statistics.median(values) for name, values in found.items()},
    }


def measure(names: list[str], threads: int, seconds: float) -> list[dict[str, Any]]:
    """The rows of all networks for a number of threads, in this process."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    rows: list[dict[str, Any]] = []
    for name in names:
        for batch in (1, 64):
            with tempfile.TemporaryDirectory() as folder:
                runs, sizes = peers(name, batch, threads, Path(folder))
                milliseconds = time_peers(runs, seconds)
            rows.append({"network": name, "batch": batch, "threads": threads, "bytes": sizes, **milliseconds})
    return rows


def accuracies(run: Path, budget: float) -> dict[str, float]:
    """The accuracy on the whole test set of a run's network and of its smaller forms."""
    import jax
    import numpy as np
    import onnxruntime

    from jaxcnn.export import portable, prune_filters, quantize, separate, to_onnx
    from jaxcnn.train import RecordedModel, RunFolder, load_trained

    trained = load_trained(RunFolder.open(run), "last")
    model = RecordedModel.of(trained)
    predict, data = model.inference.predict, trained.experiment.data
    assert predict is not None
    split: Any = data.test
    train: Any = data.train
    images, labels = split["image"], split["label"]
    program = portable(lambda x: predict(model.variables, {"image": x}), (None, *images.shape[1:]), dtype=images.dtype)
    examples = train["image"][:CALIBRATION_IMAGES]

    def accuracy(compute: Callable[[Any], Any]) -> float:
        parts = [images[start : start + 256] for start in range(0, len(images), 256)]
        classes = np.concatenate([np.asarray(jax.tree.leaves(compute(part))[0]).argmax(-1) for part in parts])
        return float((classes == labels).mean())

    found = {"the run": accuracy(lambda x: model.predict(x)), "portable program": accuracy(program)}
    for method in ("minmax", "percentile", "entropy"):
        small = quantize(program, examples, method=method)
        found[f"int8 in JAX, {method}"] = accuracy(small)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "int8.onnx"
            to_onnx(small, file)
            session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
            found[f"int8 in onnxruntime, {method}"] = accuracy(functools.partial(_run_session, session))
    found[f"separable at {budget:g} of the multiply-adds"] = accuracy(separate(program, examples, budget=budget))
    found[f"fewer filters at {budget:g} of the multiply-adds"] = accuracy(prune_filters(program, budget=budget))
    return found


def _run_session(session: Any, x: Any) -> Any:
    return session.run(None, {"x": x})


def main() -> None:
    """Measures and prints, as the options say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--seconds", type=float, default=20, help="for each network, batch and number of threads")
    parser.add_argument("--json", type=Path, help="where the rows are written")
    parser.add_argument("--run", type=Path, help="a run whose smaller forms are evaluated instead")
    parser.add_argument("--budget", type=float, default=0.5, help="share of the multiply-adds (0.5)")
    parser.add_argument("--threads", type=int, help=argparse.SUPPRESS)  # one process of the first form
    options = parser.parse_args()
    if options.run is not None:
        for name, value in accuracies(options.run, options.budget).items():
            print(f"{name:50} {100 * value:.2f} %")
        return
    if options.threads is not None:
        json.dump(measure(options.networks, options.threads, options.seconds), sys.stdout)
        return
    rows: list[dict[str, Any]] = []
    for threads in (1, 2):
        words = ["--networks", *options.networks, "--seconds", str(options.seconds), "--threads", str(threads)]
        done = subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True, check=True)
        rows += json.loads(done.stdout.splitlines()[-1])
    for row in rows:
        times = "  ".join(f"{name} {value:.2f}" for name, value in row["least"].items())
        print(f"{row['network']:16} batch {row['batch']:3} threads {row['threads']}  {times} ms")
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
