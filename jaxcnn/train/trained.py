"""A run's model as it can be used: the experiment and the variables of one of its checkpoints."""

import dataclasses

import jax
import numpy as np

from jaxcnn.train.checkpoint import restore
from jaxcnn.train.experiment import Experiment
from jaxcnn.train.parallel import Parallel
from jaxcnn.train.run_folder import RunFolder
from jaxcnn.train.state import Variables, abstract_state


@dataclasses.dataclass(frozen=True)
class Trained:
    """An experiment with trained variables."""

    experiment: Experiment
    variables: Variables
    step: int

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Class probabilities ``(n, classes)`` of uint8 images shaped as the experiment's own."""
        return np.asarray(jax.nn.softmax(self.experiment.logits(self.variables, jax.device_put(images))))


def load_trained(run: RunFolder, kind: str) -> Trained:
    """Builds a run's recorded experiment and reads its ``"last"`` or ``"best"`` checkpoint.

    Raises:
        RunError: the run has no such checkpoint, or its record is damaged.
    """
    file, config = run.load_experiment()
    experiment = file.build(config)
    # On one device, on however many it was trained.
    template = Parallel.over(1).template(abstract_state(experiment))
    state = restore(run.checkpoints, kind, template)
    return Trained(experiment=experiment, variables=state.eval_variables, step=int(state.step))
