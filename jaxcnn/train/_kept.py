"""The variables of selected epochs, which a run keeps in addition to its last and best checkpoint."""

import json
import os
from collections.abc import Iterable
from typing import Any

from jaxcnn._files import write_json
from jaxcnn.train._checkpoints import read_kept
from jaxcnn.train._distributed import is_first
from jaxcnn.train._experiment import Experiment
from jaxcnn.train._runs import RunFolder
from jaxcnn.train._state import TrainState, abstract_variables
from jaxcnn.train._trained import Trained

FILE = "keep_epochs.json"


def check_epochs(epochs: Iterable[Any]) -> frozenset[int]:
    """The epochs as a set.

    Raises:
        TypeError: one is not an int.
        ValueError: one is less than 1.
    """
    found = frozenset(epochs)
    for each in found:
        if type(each) is not int:
            raise TypeError(f"keep_epochs has {each!r}: expected ints, numbers of epochs.")
        if each < 1:
            raise ValueError(f"keep_epochs has {each}: epochs are counted from 1.")
    return found


def epochs_to_keep(run: RunFolder, epochs: Iterable[int]) -> frozenset[int]:
    """These epochs, and the epochs that the run was started with, which its folder records."""
    file = run.path / FILE
    earlier = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    found = check_epochs(epochs) | check_epochs(earlier)
    if is_first() and found != frozenset(earlier):
        write_json(file, sorted(found))
    return found


def kept_state(state: TrainState) -> TrainState:
    """The part of a state that is kept: the variables that are evaluated, without optimizer and average."""
    return state.replace(params=state.eval_variables["params"], ema_params=None, opt_state=())


def load_kept(
    run: str | os.PathLike[str] | RunFolder, *, experiment: Experiment | None = None, trust: bool = False
) -> list[Trained]:
    """The variables that a run keeps of selected epochs, in order: how its network developed.

    ``fit(..., keep_epochs=[1, 2, 5, 10])`` and ``jaxcnn train --keep-epochs 1,2,5,10`` choose them. The epoch of an
    entry is ``entry.step // experiment.steps_per_epoch``.

    Args:
        run: the folder of the run.
        experiment: what was trained; built from the recorded ``experiment.py`` unless given.
        trust: whether to run the recorded ``experiment.py`` if this user has not run it before.

    Returns:
        one entry for each epoch that is kept so far; none where the run keeps none.

    Raises:
        RunError: the folder holds no run, one of them is damaged or does not fit the experiment, or the code of the run
            is not trusted.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from jaxcnn.train._runs import find_experiment
    >>> lenet = find_experiment("lenet5_digits")
    >>> load_kept(RunFolder(Path(tempfile.mkdtemp())), experiment=lenet.build(lenet.config_class()))
    []
    """
    run = RunFolder.open(run)
    if experiment is None:
        file, config = run.load_experiment(trust=trust)
        experiment = file.build(config)
    found = read_kept(run.checkpoints, abstract_variables(experiment))
    return [Trained(experiment=experiment, variables=variables, step=step) for variables, step in found]
