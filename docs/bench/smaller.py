"""Accuracy of a run's classifier with eight-bit integers, and with fewer multiply-adds before and after fine-tuning.

    python -m docs.bench.smaller runs/mine --json smaller.json

    python -m docs.bench.smaller --page

The second command writes the tables of docs/tasks/deployment.md from ``docs/bench/smaller_*.json``, and draws their
pictures. All accuracies are those of the whole test set. Integers take their ranges from 200 training images. Each
budget, a share of the multiply-adds, is reached by separable convolutions, by Tucker-2 and by pruned filters; each
result is trained further with the run's own augmentation and batch size, and timed for one image. Convolutions of the
networks that are trained further use the algorithms of this library (``accelerate``).
"""

import argparse
import dataclasses
import functools
import importlib.metadata
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxcnn
from docs.reports.report import with_tables
from jaxcnn.export import PortableProgram, portable, prune_filters, quantize, separate, to_onnx
from jaxcnn.train import Aux, Experiment, RunFolder, fit, load_trained, warmup_cosine
from jaxcnn.vis import Panel, draw_panels

PAGE = Path(__file__).parent.parent / "tasks" / "deployment.md"
IMAGES = Path(__file__).parent.parent / "images"
SCHEMES = ("separable", "Tucker-2", "fewer filters")
CALIBRATION_IMAGES = 200
BATCH = 250
CALLS = 50  # of which the least time is the latency

Row = dict[str, Any]


def accuracy(compute: Callable[[Any], Any], split: Any) -> float:
    """The share of the images of a split whose class has the greatest output."""
    images, hits = split["image"], 0
    for start in range(0, len(images), BATCH):
        outputs = np.asarray(jax.tree.leaves(compute(images[start : start + BATCH]))[0])
        hits += int((outputs.argmax(-1) == split["label"][start : start + BATCH]).sum())
    return hits / len(images)


def integers(function: Callable[[Any], Any], experiment: Experiment) -> list[Row]:
    """The accuracy of the network, of its portable program, and of integers in JAX and onnxruntime."""
    import onnxruntime

    train: Any = experiment.data.train
    test, images = experiment.data.test, train["image"]
    program = portable(function, (None, *images.shape[1:]), dtype=images.dtype)
    rows: list[Row] = [
        {"network": "the run", "accuracy": accuracy(jax.jit(function), test)},
        {"network": "portable program", "accuracy": accuracy(program, test)},
    ]
    for method in ("minmax", "percentile", "entropy"):
        small = quantize(program, images[:CALIBRATION_IMAGES], method=method)
        rows.append({"network": f"int8 in JAX, {method}", "accuracy": accuracy(small, test)})
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "int8.onnx"
            to_onnx(small, file)
            options = onnxruntime.SessionOptions()
            options.add_session_config_entry("session.x64quantprecision", "1")  # as docs/tasks/deployment.md says
            session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
            found = accuracy(functools.partial(_run_session, session), test)
        rows.append({"network": f"int8 in onnxruntime, {method}", "accuracy": found})
    return rows


def _run_session(session: Any, x: Any) -> Any:
    return session.run(None, {"x": x})


def log_probabilities(program: PortableProgram, parameters: Any, images: jax.Array) -> jax.Array:
    """The log probabilities of the classes, by a program of one prepared image with other parameters."""
    each = jax.vmap(lambda x: jax.tree.leaves(program.apply(parameters, x[None]))[0][0])
    return jnp.log(jnp.maximum(each(images), 1e-30))


def further(program: PortableProgram, experiment: Experiment, *, epochs: int, learning_rate: float) -> Experiment:
    """The experiment that fine-tunes a program of one prepared image on the same data, with a loss of classes."""

    def evaluate(variables: Any, batch: Any) -> dict[str, jax.Array]:
        logs = log_probabilities(program, variables["params"], batch["image"])
        losses = optax.softmax_cross_entropy_with_integer_labels(logs, batch["label"])
        return {"loss": losses, "accuracy": logs.argmax(-1) == batch["label"]}

    def objective(variables: Any, batch: Any, key: jax.Array) -> tuple[jax.Array, Aux]:
        logs = log_probabilities(program, variables["params"], batch["image"])
        wide = batch["label"].ndim == logs.ndim
        targets = batch["label"] if wide else jax.nn.one_hot(batch["label"], logs.shape[-1])
        return optax.softmax_cross_entropy(logs, targets), Aux()

    total = epochs * experiment.steps_per_epoch
    return dataclasses.replace(
        experiment,
        init=lambda key, batch: {"params": program.parameters},
        objective=objective,
        evaluate=evaluate,
        predict=None,
        summarize=None,
        measure=None,
        start=lambda variables: variables,
        optimizer=optax.adam(warmup_cosine(learning_rate, total_steps=total, warmup=0.1)),
        epochs=epochs,
        ema_decay=0.0,
        best=None,
        early_stopping=None,
    )


def approximated(trained: Any, budgets: Sequence[float], *, epochs: int, learning_rate: float) -> list[Row]:
    """Rows of each scheme and budget: multiply-adds, accuracy before and after fine-tuning, and milliseconds."""
    experiment, predict = trained.experiment, trained.experiment.predict
    train: Any = experiment.data.train
    images = np.asarray(experiment.prepare({"image": jnp.asarray(train["image"][:CALIBRATION_IMAGES])})["image"])
    whole = portable(lambda x: predict(trained.variables, {"image": x}), (1, *images.shape[1:]), dtype=images.dtype)
    schemes: dict[str, Callable[..., PortableProgram]] = {
        SCHEMES[0]: functools.partial(separate, whole, images),
        SCHEMES[1]: functools.partial(separate, whole, images, scheme="tucker"),
        SCHEMES[2]: functools.partial(prune_filters, whole),
    }
    rows: list[Row] = [_described("program of one image", whole, images)]
    for budget in budgets:
        for name, make in schemes.items():
            try:
                program = make(budget=budget)
            except ValueError as error:
                rows.append({"network": name, "budget": budget, "error": str(error)})
                continue
            task = further(program, experiment, epochs=epochs, learning_rate=learning_rate)
            compute = jax.jit(functools.partial(_classified, program, experiment))
            before = accuracy(functools.partial(compute, program.parameters), experiment.data.test)
            with tempfile.TemporaryDirectory() as folder:
                tuned = fit(task, Path(folder) / "run").variables["params"]
            after = accuracy(functools.partial(compute, tuned), experiment.data.test)
            row = _described(name, program, images)
            rows.append({**row, "budget": budget, "accuracy before": before, "accuracy": after, "epochs": epochs})
    return rows


def _classified(program: PortableProgram, experiment: Experiment, parameters: Any, images: jax.Array) -> jax.Array:
    return log_probabilities(program, parameters, experiment.prepare({"image": images})["image"])


def _described(name: str, program: PortableProgram, images: Any) -> Row:
    """Multiply-adds of a program, and the least milliseconds for one image."""
    seconds = []
    for _ in range(CALLS):
        began = time.perf_counter()
        jax.block_until_ready(program(images[:1]))
        seconds.append(time.perf_counter() - began)
    return {
        "network": name,
        "multiply_adds": program.multiply_adds,
        "milliseconds": 1e3 * min(seconds),
        "median milliseconds": 1e3 * statistics.median(seconds),
    }


def table(rows: Sequence[Row]) -> str:
    """The rows in Markdown.

    >>> print(table([{"network": "the run", "accuracy": 0.95}]))
    | network | share of multiply-adds | accuracy before | accuracy | ms |
    | --- | --- | --- | --- | --- |
    | the run |  |  | 95.00 % |  |
    """
    lines = [
        "| network | share of multiply-adds | accuracy before | accuracy | ms |",
        "| --- | --- | --- | --- | --- |",
    ]
    whole = next((row["multiply_adds"] for row in rows if "multiply_adds" in row), 1)
    for row in rows:
        share = f"{row['multiply_adds'] / whole:.3f}" if "multiply_adds" in row else ""
        before, after = (f"{100 * row[key]:.2f} %" if key in row else "" for key in ("accuracy before", "accuracy"))
        time_of_one = f"{row['milliseconds']:.2f}" if "milliseconds" in row else row.get("error", "")
        lines.append(f"| {row['network']} | {share} | {before} | {after} | {time_of_one} |")
    return "\n".join(lines)


def panels(rows: Sequence[Row]) -> list[Panel]:
    """Accuracy after fine-tuning and the milliseconds of one image, of each scheme over its budgets.

    >>> rows = [{"network": "portable program", "accuracy": 0.75}]
    >>> rows += [{"network": "program of one image", "milliseconds": 2}]
    >>> rows += [{"network": "separable", "budget": 0.5, "milliseconds": 1, "accuracy": 0.5}]
    >>> for panel in panels(rows):
    ...     print(panel.title, panel.places, panel.lines)
    Accuracy (%) [0.5, 1.0] {'separable': [[50.0, 75.0]]}
    Milliseconds of an image [0.5, 1.0] {'separable': [[1, 2]]}
    """
    budgets = sorted({row["budget"] for row in rows if "budget" in row})

    def panel(title: str, key: str, whole: str, factor: int) -> Panel:
        last = next(row[key] for row in rows if row["network"] == whole)
        lines = {}
        for name in SCHEMES:
            found = {row["budget"]: row[key] for row in rows if row["network"] == name and key in row}
            if found:  # a budget that a scheme cannot meet is a gap
                lines[name] = [[factor * each for each in [*(found.get(each, np.nan) for each in budgets), last]]]
        return Panel(title=title, over="share of multiply-adds", places=[*budgets, 1.0], lines=lines)

    return [
        panel("Accuracy (%)", "accuracy", "portable program", 100),
        panel("Milliseconds of an image", "milliseconds", "program of one image", 1),
    ]


def rows_of_files() -> dict[str, list[Row]]:
    """The rows of each file of results, by its name."""
    files = sorted(Path(__file__).parent.glob("smaller_*.json"))
    return {file.stem: json.loads(file.read_text(encoding="utf-8"))["rows"] for file in files}


def rows_of_pictures() -> dict[str, list[Row]]:
    """The rows of files in which a scheme meets a budget."""
    met = {name for name, rows in rows_of_files().items() if any("accuracy before" in row for row in rows)}
    return {name: rows for name, rows in rows_of_files().items() if name in met}


def page() -> str:
    """The page about deployment with the tables of the files."""
    return with_tables(PAGE.read_text(encoding="utf-8"), {name: table(rows) for name, rows in rows_of_files().items()})


def main() -> None:
    """Evaluates and prints, as the options say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", help="folder of a run that classifies images")
    parser.add_argument("--page", action="store_true", help="write the tables of the page instead")
    parser.add_argument("--budgets", nargs="*", type=float, default=[0.75, 0.5, 0.35, 0.25])
    parser.add_argument("--epochs", type=int, default=1, help="of fine-tuning (1)")
    parser.add_argument("--images", type=int, help="training images of fine-tuning, the first ones (all)")
    parser.add_argument("--learning-rate", type=float, default=3e-4, help="the greatest of fine-tuning, by Adam (3e-4)")
    parser.add_argument("--json", type=Path, help="where the rows are written")
    options = parser.parse_args()
    if options.page:
        PAGE.write_text(page(), encoding="utf-8")
        for name, rows in rows_of_pictures().items():
            draw_panels(panels(rows), IMAGES / f"{name}.png")
        return
    if options.run is None:
        parser.error("name the folder of a run, or give --page.")
    run = RunFolder.open(options.run)
    trained = load_trained(run, "last")
    experiment = trained.experiment
    if experiment.predict is None or "label" not in experiment.data.test.fields:
        parser.error(f"{options.run} is no run of a classifier: its experiment has no predict, or its data no label.")

    def function(images: Any) -> Any:
        assert experiment.predict is not None
        return experiment.predict(trained.variables, dict(experiment.prepare({"image": images})))

    rows = integers(function, experiment)
    jaxcnn.accelerate()
    if options.images is not None:
        train: Any = experiment.data.train
        shorter = dataclasses.replace(experiment.data, train=train.take(slice(options.images)))
        trained = dataclasses.replace(trained, experiment=dataclasses.replace(experiment, data=shorter))
    if options.budgets:
        rows += approximated(trained, options.budgets, epochs=options.epochs, learning_rate=options.learning_rate)
    if options.json is not None:
        versions = {name: importlib.metadata.version(name) for name in ("jax", "onnxruntime")}
        about = {"experiment": run.recorded()["experiment"], "settings": dict(run.settings()), "versions": versions}
        about["images"] = options.images
        options.json.write_text(json.dumps({**about, "rows": rows}, indent=2) + "\n", encoding="utf-8")
    print(table(rows))


if __name__ == "__main__":
    main()
