"""Verbs that may run the code of a run: they say so, and ask for ``--trust`` if the user has not run it before."""

import argparse
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxcnn.train._recorded import RecordedModel
    from jaxcnn.train._runs._discover import ExperimentFile
    from jaxcnn.train._runs._folder import RunFolder


def add_argument(parser: argparse.ArgumentParser) -> None:
    """The option ``--trust``."""
    parser.add_argument(
        "--trust", action="store_true", help="run the run's experiment.py, even if it is new to this machine"
    )


def load_experiment(run: "RunFolder", options: argparse.Namespace) -> tuple["ExperimentFile", Any]:
    """Runs the run's ``experiment.py``, and says so on standard error."""
    loaded = run.load_experiment(trust=options.trust)
    print(f"jaxcnn {options.verb}: ran {run.path / 'experiment.py'}", file=sys.stderr)
    return loaded


def load_model(run: "RunFolder", options: argparse.Namespace) -> "RecordedModel":
    """The recorded model; that of the run's ``experiment.py`` where none is recorded."""
    from jaxcnn.train._recorded import model_of, read_model
    from jaxcnn.train._trained import load_variables

    recorded = read_model(run, options.checkpoint)
    if recorded is not None:
        return recorded
    file, config = load_experiment(run, options)
    return model_of(load_variables(run, file.build(config), options.checkpoint))
