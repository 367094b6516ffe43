"""Verbs that may run the code of a run: with a message, and only with ``--trust`` if it is new to the user."""

import argparse
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxcnn.train import ExperimentFile, RecordedModel, RunFolder


def add_argument(parser: argparse.ArgumentParser) -> None:
    """The option ``--trust``."""
    parser.add_argument(
        "--trust",
        action="store_true",
        help="run the code of the run (its experiment.py) even if it was not trained on this machine",
    )


def load_experiment(run: "RunFolder", options: argparse.Namespace) -> tuple["ExperimentFile", Any]:
    """Runs the run's ``experiment.py``, with a message on standard error."""
    loaded = run.load_experiment(trust=options.trust)
    report_code(run, options)
    return loaded


def report_code(run: "RunFolder", options: argparse.Namespace) -> None:
    """Prints on standard error that the run's ``experiment.py`` was run."""
    print(f"jaxcnn {options.verb}: ran {run.path / 'experiment.py'}", file=sys.stderr)


def load_model(run: "RunFolder", options: argparse.Namespace) -> "RecordedModel":
    """The recorded model; if none is recorded, the model of the run's ``experiment.py``."""
    from jaxcnn.train import RecordedModel, load, load_trained

    if run.has_model:
        return load(run, options.checkpoint)
    file, config = load_experiment(run, options)
    return RecordedModel.of(load_trained(run, options.checkpoint, experiment=file.build(config)))
