"""Write the network of a run in a file that other programs execute.

The file contains the parameters and the preprocessing. Its input is the one array that the run predicts from, such as
images. The command compares it with the predictions of the run on test examples, and writes a JSON card with classes,
input, measures, versions and checksum next to it.
"""

import argparse
import hashlib
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxcnn.cli import _trust

if TYPE_CHECKING:
    from jaxcnn.export import PortableProgram
    from jaxcnn.train import RecordedModel

HELP = "write a run's network as a file of StableHLO, ONNX, LiteRT or Core ML"
EXAMPLES = (
    "jaxcnn export runs/mine --to onnx",
    "jaxcnn export runs/mine --to stablehlo --output digits.stablehlo --batch 1",
    "jaxcnn export runs/mine --to tflite --int8",
)
SUFFIXES = {"stablehlo": ".stablehlo", "onnx": ".onnx", "tflite": ".tflite", "coreml": ".mlpackage"}
ANY_BATCH = ("stablehlo", "onnx")  # formats whose files may read a batch of any size
PACKAGES = {
    "stablehlo": (),
    "onnx": ("onnx", "onnxruntime"),
    "tflite": ("litert-converter", "litert-quantizer", "ai-edge-litert"),
    "coreml": ("coremltools", "stablehlo-coreml"),
}
TOLERANCE = 1e-4  # of the largest result
COMPARED = 64  # test examples
CALIBRATION = 200  # training examples
RUNS = 20  # of which the median is the latency


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="folder of the run")
    parser.add_argument("--to", choices=tuple(SUFFIXES), required=True, help="the format")
    parser.add_argument("--output", type=Path, metavar="FILE", help="the file (model.FORMAT in the run folder)")
    parser.add_argument(
        "--batch",
        metavar="N",
        help="batch size of the program: a number, or dynamic for any (the default for StableHLO and ONNX; LiteRT and "
        "Core ML have fixed sizes, 1 by default)",
    )
    parser.add_argument(
        "--int8", action="store_true", help="quantise to 8-bit integers, with ranges measured on training examples"
    )
    parser.add_argument(
        "--calibration",
        choices=("minmax", "percentile", "entropy"),
        default="percentile",
        help="with --int8: the range of each array: all values, 99.99 %% of them (the default), or the range that "
        "loses the least information",
    )
    parser.add_argument("--checkpoint", choices=("last", "best"), default="last", help="the checkpoint (last)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    _trust.add_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Writes the file and its card, and prints what is in them."""
    from jaxcnn.cli._output import print_json, print_table, say
    from jaxcnn.train import RecordedModel, RunFolder, load_trained

    rows = read_batch(options.batch, options.to)
    folder = RunFolder.open(options.run_folder)
    file, config = _trust.load_experiment(folder, options)
    trained = load_trained(folder, options.checkpoint, experiment=file.build(config))
    model = RecordedModel.of(trained)
    name = input_of(model)
    path = options.output or folder.path / f"model{SUFFIXES[options.to]}"
    count = COMPARED if rows is None else -(-COMPARED // rows) * rows
    examples = first_examples(trained.experiment.data.test, name, count, repeat=rows is not None)
    calibration = first_examples(trained.experiment.data.train, name, CALIBRATION) if options.int8 else None
    program, counts, compute = write(model, name, rows, options, path, calibration)
    difference = None
    if compute is not None:
        found = in_batches(compute, examples, rows or len(examples))
        difference = compare(model.predict(examples), found, None if options.int8 else TOLERANCE)
    card = {
        "file": path.name,
        "format": options.to,
        "sha256": digest(path),
        "bytes": sum(each.stat().st_size for each in files_of(path)),
        **about(model, program, options),
        "integers": options.calibration if options.int8 else None,
        "nodes": counts,
        "compared_images": 0 if compute is None else len(examples),
        "largest_difference": difference,
        "metrics": last_measures(folder.metrics.read()),
        "versions": versions(options.to),
    }
    from jaxcnn._files import write_json

    write_json(path.with_name(path.name + ".json"), card)
    latency = latencies(model, compute, {name: examples[: rows or 1]})
    if options.json:
        print_json(card | {"milliseconds": latency})
        return 0
    print_table(["nodes", "number"], list(counts.items()))
    say(f"{path}: {card['bytes'] / 1e6:.2f} MB, card {path.name}.json")
    if difference is None:
        say("not compared with the run: Core ML runs on macOS only")
    else:
        say(f"largest difference {difference:.1e} of the largest result, on {len(examples)} test examples")
    say("milliseconds for a call: " + ", ".join(f"{name} {value:.2f}" for name, value in latency.items()))
    return 0


def read_batch(text: str | None, target: str) -> int | None:
    """The number of examples of a call, or None for any.

    Raises:
        ValueError: neither a positive number nor ``dynamic``, or ``dynamic`` for a format of fixed sizes.

    >>> read_batch("8", "onnx"), read_batch("dynamic", "onnx"), read_batch(None, "onnx"), read_batch(None, "tflite")
    (8, None, None, 1)
    """
    if text is None:
        return None if target in ANY_BATCH else 1
    if text == "dynamic":
        if target not in ANY_BATCH:
            raise ValueError(f"--batch dynamic: a file of {target} has fixed sizes. Write a number, such as 1.")
        return None
    if not text.isdecimal() or not int(text):
        raise ValueError(f"--batch {text}: write the number of examples of a call, such as 1, or dynamic.")
    return int(text)


def input_of(model: "RecordedModel") -> str:
    """The name of the one array that the run predicts from.

    Raises:
        RunError: it predicts nothing, or not from one array.
    """
    from jaxcnn.train import RunError

    if model.inference.predict is None:
        raise RunError("this run predicts nothing: its experiment has no predict.")
    if len(model.inputs) != 1:
        arrays = ", ".join(f"{name}=..." for name in model.inputs)
        raise RunError(
            f"the run predicts from {', '.join(model.inputs) or 'nothing'}, but a file has one input: expected a run "
            f"that predicts from one array. In Python, the run predicts by jaxcnn.load(run).predict({arrays})."
        )
    return model.inputs[0]


def first_examples(split: Any, name: str, count: int, *, repeat: bool = False) -> Any:
    """An array of the first examples of a split, or of all; with ``repeat`` exactly as many as requested."""
    indices = [index % len(split) for index in range(count if repeat else min(count, len(split)))]
    return split.read(indices).arrays[name] if hasattr(split, "read") else split[name][indices]


def write(
    model: "RecordedModel", name: str, rows: int | None, options: argparse.Namespace, path: Path, calibration: Any
) -> tuple["PortableProgram", dict[str, int], Callable[[Any], Any] | None]:
    """Writes the file; returns the program, its number of nodes by type, and a function that runs the file, or None.

    With examples for calibration, the program computes with integers.
    """
    import jax

    from jaxcnn.export import portable, quantize, to_coreml, to_onnx, to_stablehlo, to_tflite

    predict = model.inference.predict
    assert predict is not None  # see input_of

    def function(x: Any) -> Any:
        return predict(model.variables, {name: x})

    shape, dtype = model.fields[name]
    program = portable(function, (rows, *shape), dtype=dtype)
    if calibration is not None:
        program = quantize(program, calibration, method=options.calibration)
    if options.to == "stablehlo":
        counts = to_stablehlo(program, path)
        return program, counts, jax.jit(jax.export.deserialize(bytearray(path.read_bytes())).call)
    if options.to == "onnx":
        return program, to_onnx(program, path), _onnx_runner(path, program)
    if options.to == "tflite":
        return program, to_tflite(program, path), _tflite_runner(path, program)
    return program, to_coreml(program, path), None


def _onnx_runner(path: Path, program: "PortableProgram") -> Callable[[Any], Any]:
    """A function that runs a file of ONNX; the program itself where onnxruntime is not installed."""
    import jax

    from jaxcnn._extras import import_optional

    try:
        runtime = import_optional("onnxruntime")
    except ModuleNotFoundError:
        return program
    options = runtime.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")  # no sums that saturate on CPUs without VNNI
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: jax.tree.unflatten(program.tree, session.run(None, {name: x}))


def _tflite_runner(path: Path, program: "PortableProgram") -> Callable[[Any], Any]:
    """A function that runs a file of LiteRT."""
    import jax

    from jaxcnn._extras import import_optional

    interpreter = import_optional("ai_edge_litert.interpreter").Interpreter(model_path=str(path))
    call = interpreter.get_signature_runner()

    def compute(x: Any) -> Any:
        found = call(x=x)
        return jax.tree.unflatten(program.tree, [found[name] for name in program.result_names])

    return compute


def in_batches(compute: Callable[[Any], Any], examples: Any, rows: int) -> Any:
    """The results for all examples of a function of ``rows`` of them.

    >>> import numpy as np
    >>> in_batches(lambda x: {"sum": x.sum(-1)}, np.ones((4, 3)), 2)
    {'sum': array([3., 3., 3., 3.])}
    """
    import jax
    import numpy as np

    parts = [compute(examples[start : start + rows]) for start in range(0, len(examples), rows)]
    return jax.tree.map(lambda *each: np.concatenate([np.asarray(one) for one in each]), *parts)


def files_of(path: Path) -> list[Path]:
    """The file, or the files of a package."""
    return sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]


def digest(path: Path) -> str:
    """The SHA-256 of a file, or of the contents of all files of a package in the order of their names."""
    found = hashlib.sha256()
    for each in files_of(path):
        found.update(each.read_bytes())
    return found.hexdigest()


def compare(expected: Any, found: Any, tolerance: float | None) -> float:
    """The largest difference relative to the largest entry, over all results; at most the tolerance, if there is one.

    Entries that are NaN, or the same infinity, in both do not differ.

    Raises:
        ValueError: the difference is above the tolerance.
    """
    import jax
    import numpy as np

    worst = 0.0
    for one, other in zip(jax.tree.leaves(expected), jax.tree.leaves(found), strict=True):
        one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
        with np.errstate(invalid="ignore"):  # of infinities
            apart = np.where((one == other) | (np.isnan(one) & np.isnan(other)), 0, np.abs(one - other))
        largest = np.abs(one[np.isfinite(one)]).max(initial=1e-30)
        worst = float(np.maximum(worst, apart.max(initial=0) / largest))  # NaN where only one of them is finite
    if tolerance is not None and not worst <= tolerance:
        raise ValueError(
            f"on test examples the file differs from the run by {worst:.1e} of the largest result, more than "
            f"{tolerance}. Please report this network."
        )
    return worst


def about(model: "RecordedModel", program: "PortableProgram", options: argparse.Namespace) -> dict[str, Any]:
    """The entries of a card about the network."""
    import jax

    return {
        "run": str(options.run_folder),
        "checkpoint": options.checkpoint,
        "step": model.step,
        "dataset": model.dataset,
        "classes": list(model.class_names),
        "input": {
            "shape": [str(size) if not isinstance(size, int) else size for size in program.input.shape],
            "dtype": str(program.input.dtype),
            "preprocessing": f"inside: the input is {model.inputs[0]!r} as the data set holds it, channels last",
            "resize": model.resize,
        },
        "outputs": {
            "/".join(str(getattr(key, "key", key)) for key in path): [str(value.dtype), *map(str, value.shape)]
            for (path, _), value in zip(
                jax.tree_util.tree_leaves_with_path(jax.tree.unflatten(program.tree, range(len(program.results)))),
                program.results,
                strict=True,
            )
        },
    }


def last_measures(records: list[dict[str, Any]]) -> dict[str, float]:
    """The last recorded value of each measure of an evaluation.

    >>> last_measures([{"step": 1, "test/accuracy": 0.5}, {"step": 2, "test/accuracy": 0.9, "train/loss": 1.0}])
    {'test/accuracy': 0.9}
    """
    return {name: value for each in records for name, value in each.items() if name.startswith(("test/", "val/"))}


def versions(target: str) -> dict[str, str]:
    """The versions of the packages that made the file."""
    import importlib.metadata

    found = {}
    for name in ("jaxcnn", "jax", "jaxlib", *PACKAGES[target]):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def latencies(model: "RecordedModel", compute: Callable[[Any], Any] | None, batch: dict[str, Any]) -> dict[str, float]:
    """The median milliseconds of a call, of the run's own prediction under ``jit`` and of the file, in turn."""
    import jax

    assert model.inference.predict is not None
    own = jax.jit(model.inference.predict)
    calls: dict[str, Callable[[], Any]] = {"jit": lambda: own(model.variables, batch)}
    if compute is not None:
        (examples,) = batch.values()
        calls["file"] = lambda: compute(examples)
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(RUNS + 2):
        for name, call in calls.items():
            start = time.perf_counter()
            jax.block_until_ready(call())
            if turn >= 2:  # the first calls compile and warm up
                seconds[name].append(time.perf_counter() - start)
    return {name: 1000 * statistics.median(values) for name, values in seconds.items()}
