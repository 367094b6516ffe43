"""A run's variables as they can be used: the experiment and the variables of one of its checkpoints."""

import dataclasses
import functools
from typing import Any

import jax
import numpy as np

from jaxcnn._reprs import short_repr
from jaxcnn.data import Split, StreamedSplit
from jaxcnn.train._calls import predicted
from jaxcnn.train._checkpoints._reading import restore
from jaxcnn.train._devices import Parallel
from jaxcnn.train._evaluate import Evaluator, Inference
from jaxcnn.train._experiment import Experiment
from jaxcnn.train._runs._files import write_json
from jaxcnn.train._runs._folder import RunFolder
from jaxcnn.train._state import Variables, abstract_state


@dataclasses.dataclass(frozen=True)
class Trained:
    """An experiment with trained variables.

    Attributes:
        experiment: what was trained.
        variables: those that are evaluated: with the averaged parameters, where there is an average.
        step: the number of steps that they were trained for.
    """

    experiment: Experiment
    variables: Variables
    step: int

    __repr__ = short_repr

    def predict(self, **arrays: np.ndarray) -> Any:
        """What the experiment's ``predict`` makes of examples, such as ``trained.predict(image=images)``.

        Args:
            arrays: arrays by name, as the experiment's splits have them; targets may be left out.
        """
        outputs = jax.jit(functools.partial(predicted, self.experiment))(self.variables, arrays)
        return jax.tree.map(np.asarray, outputs)

    def measured(self) -> dict[str, np.ndarray]:
        """What the experiment measures after training, by name; empty where it measures nothing."""
        found = self.experiment.measure(self) if self.experiment.measure is not None else {}
        return {name: np.asarray(value) for name, value in found.items()}

    def evaluate(self, split: Split | StreamedSplit | None = None) -> dict[str, float]:
        """The measures of a split by name; of the test split unless given."""
        split = self.experiment.data.test if split is None else split
        return Evaluator(Inference.of(self.experiment), split)(self.variables)


def write_measured(run: RunFolder, trained: Trained) -> list[str]:
    """Writes what the experiment measures after training into ``measured.json`` of the run; the names of it.

    Of several processes none measures, since each holds a part of the run: resume the finished run in one process.
    """
    if jax.process_count() > 1:
        return []
    found = {name: value.tolist() for name, value in trained.measured().items()}
    if found:
        write_json(run.path / "measured.json", found)
    return list(found)


def load_trained(run: RunFolder, kind: str, *, trust: bool = False) -> Trained:
    """Builds a run's recorded experiment and reads its ``"last"`` or ``"best"`` checkpoint.

    Args:
        run: the folder of the run.
        kind: ``"last"`` or ``"best"``.
        trust: whether to run the recorded ``experiment.py`` if this user has not run it before.

    Raises:
        RunError: the run has no such checkpoint, its record is damaged, or its code is not trusted.
    """
    file, config = run.load_experiment(trust=trust)
    return load_variables(run, file.build(config), kind)


def load_variables(run: RunFolder, experiment: Experiment, kind: str) -> Trained:
    """Reads the ``"last"`` or ``"best"`` checkpoint of a run whose experiment has been built.

    Raises:
        RunError: the run has no such checkpoint, or it is damaged.
    """
    # On one device, on however many it was trained.
    template = Parallel.over(1).template(abstract_state(experiment))
    state = restore(run.checkpoints, kind, template)
    return Trained(experiment=experiment, variables=state.eval_variables, step=int(state.step))
