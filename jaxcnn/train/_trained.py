"""A run's model as it can be used: the experiment and the variables of one of its checkpoints."""

import dataclasses

import jax
import numpy as np

from jaxcnn._reprs import short_repr
from jaxcnn.train._checkpoints.reading import restore
from jaxcnn.train._devices import Parallel
from jaxcnn.train._experiment import Experiment
from jaxcnn.train._runs.folder import RunFolder
from jaxcnn.train._state import Variables, abstract_state


@dataclasses.dataclass(frozen=True)
class Trained:
    """An experiment with trained variables."""

    experiment: Experiment
    variables: Variables
    step: int

    __repr__ = short_repr

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Class probabilities ``(n, classes)`` of uint8 images shaped as the experiment's own."""
        return np.asarray(jax.nn.softmax(self.experiment.logits(self.variables, jax.device_put(images))))


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
