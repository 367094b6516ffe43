"""Evaluate a run's checkpoint on its test examples."""

import argparse
import sys
from pathlib import Path
from typing import Any

from jaxcnn._reprs import SHARES, measure_in_words
from jaxcnn.cli import _trust

HELP = "evaluate a run on its test examples"
EXAMPLES = (
    "jaxcnn evaluate runs/mine",
    "jaxcnn evaluate runs/mine --json",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="folder of the run")
    parser.add_argument(
        "--checkpoint",
        choices=("last", "best"),
        default="last",
        help="last (the default) or best; without a validation split, the test examples selected best",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    _trust.add_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Prints the measures; of a classification also by class."""
    from jaxcnn.cli._output import print_json, print_table
    from jaxcnn.train import RunFolder, load_trained

    folder = RunFolder.open(options.run_folder)
    model = _trust.load_model(folder, options)
    split = model.test_split()
    if split is None:
        print(f"the data set {model.dataset!r} is made by the experiment.py of the run", file=sys.stderr)
        file, config = _trust.load_experiment(folder, options)
        # The recorded model has no ``summarize``, whose measures are of a whole split, such as mean IoU.
        trained = load_trained(folder, options.checkpoint, experiment=file.build(config))
        split, measures = trained.experiment.data.test, trained.evaluate()
    else:
        measures = model.evaluate(split)
    count = len(split) - len(getattr(split, "corrupt", ()))  # a stream is evaluated without what cannot be read
    classes = _by_class(model, split)
    if options.json:
        print_json(
            {
                "run": str(options.run_folder),
                "checkpoint": options.checkpoint,
                "step": model.step,
                "images": count,
                **{f"test/{name}": value for name, value in measures.items()},
                **({"classes": classes} if classes else {}),
            }
        )
        return 0
    if classes:
        rows = [[name, row["images"], row["images"] - row["correct"]] for name, row in classes.items()]
        wrong = sum(row["images"] - row["correct"] for row in classes.values())
        print_table(["class", "examples", "wrong"], [*rows, ["all", count, wrong]])
    print(f"{options.checkpoint} checkpoint, step {model.step}: {in_words(measures)}")
    return 0


def _by_class(model: Any, split: Any) -> dict[str, dict[str, int]]:
    """The number of examples of each class, and of those that are recognised; empty where no class is predicted."""
    import numpy as np

    if model.inference.predict is None or "label" not in model.fields or not model.class_names:
        return {}
    outputs, targets = model.outputs(split)
    if not isinstance(outputs, dict) or "probabilities" not in outputs or targets["label"].ndim != 1:
        return {}
    labels, hits = targets["label"], outputs["probabilities"].argmax(-1) == targets["label"]
    return {
        name: {"images": int(np.sum(labels == index)), "correct": int(np.sum(hits[labels == index]))}
        for index, name in enumerate(model.class_names)
    }


def in_words(measures: dict[str, float]) -> str:
    """Measures in a line, shares in per cent."""
    names = sorted(measures, key=lambda name: name == "loss")
    return ", ".join(
        f"test {measure_in_words(name)} {100 * measures[name]:.2f} %"
        if name in SHARES
        else f"{measure_in_words(name)} {measures[name]:.4f}"
        for name in names
    )
