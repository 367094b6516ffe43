"""Evaluate a run's checkpoint on its test images."""

import argparse
import sys
from pathlib import Path

from jaxcnn.cli import _trust

HELP = "evaluate a run on its test images"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="folder of the run")
    parser.add_argument(
        "--checkpoint",
        choices=("last", "best"),
        default="last",
        help="last (the default), or best; best was chosen by test accuracy, so it flatters itself",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    _trust.add_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Prints loss and accuracy, over all classes and by class."""
    import numpy as np

    from jaxcnn.cli.output import print_json, print_table
    from jaxcnn.train._evaluate import Evaluator
    from jaxcnn.train._runs.folder import RunFolder

    folder = RunFolder.open(options.run_folder)
    model = _trust.load_model(folder, options)
    images = model.test_images()
    if images is None:
        print(f"jaxcnn evaluate: {model.dataset} is not found by its name, only by the run's own code", file=sys.stderr)
        file, config = _trust.load_experiment(folder, options)
        images = file.build(config).dataset.test
    evaluation = Evaluator(model, images)(model.variables)
    hits = evaluation.predictions == evaluation.labels
    classes = {
        name: {
            "images": int(np.sum(evaluation.labels == index)),
            "correct": int(np.sum(hits[evaluation.labels == index])),
        }
        for index, name in enumerate(model.class_names)
    }
    if options.json:
        print_json(
            {
                "run": str(options.run_folder),
                "checkpoint": options.checkpoint,
                "step": model.step,
                "images": len(evaluation.labels),
                "test/accuracy": evaluation.accuracy,
                "test/loss": evaluation.loss,
                "classes": classes,
            }
        )
        return 0
    rows = [[name, row["images"], row["images"] - row["correct"]] for name, row in classes.items()]
    rows.append(["all", len(hits), int(np.sum(~hits))])
    print_table(["class", "images", "wrong"], rows)
    print(
        f"{options.checkpoint} checkpoint, step {model.step}: "
        f"test accuracy {100 * evaluation.accuracy:.2f} %, loss {evaluation.loss:.4f}"
    )
    return 0
