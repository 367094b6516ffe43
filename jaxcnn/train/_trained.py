"""A trained experiment: the experiment and the variables of one of a run's checkpoints."""

import dataclasses
import functools
import os
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from jaxcnn._arrays import ArrayLike
from jaxcnn._files import write_json
from jaxcnn._hints import did_you_mean
from jaxcnn._reprs import fields_table, short_repr
from jaxcnn.data import Split, StreamedSplit
from jaxcnn.train._calls import predicted
from jaxcnn.train._checkpoints import CheckpointKind, restore
from jaxcnn.train._devices import Parallel
from jaxcnn.train._evaluate import Evaluator, Inference
from jaxcnn.train._experiment import Experiment
from jaxcnn.train._runs import RunFolder
from jaxcnn.train._state import Variables, abstract_state


@dataclasses.dataclass(frozen=True)
class Trained:
    """An experiment with trained variables.

    Attributes:
        experiment: what was trained.
        variables: the evaluated variables, with averaged parameters if there is an average.
        step: the number of steps that they were trained for.
    """

    experiment: Experiment
    variables: Variables
    step: int

    __repr__ = short_repr
    _repr_html_ = fields_table

    def predict(self, examples: ArrayLike | None = None, **arrays: np.ndarray) -> Any:
        """The outputs of the experiment's ``predict`` for examples, such as ``trained.predict(images)``.

        Args:
            examples: the images, where the experiment's splits have ``image``, or the only array that they have.
            arrays: other arrays by name, as the experiment's splits have them; targets may be left out.

        Raises:
            TypeError: ``examples`` are given, but their array is ambiguous, or is also given by name; or they are a
                dict.
        """
        if isinstance(examples, Mapping):
            raise TypeError("expected arrays by name, not a dict of them: predict(**arrays).")
        if examples is not None:
            fields = list(self.experiment.data.train.fields)
            name = "image" if "image" in fields else fields[0] if len(fields) == 1 else None
            if name is None or name in arrays:
                raise TypeError(
                    f"expected each array once by its name, predict(name=array); the experiment has "
                    f"{', '.join(fields)}."
                )
            arrays[name] = np.asarray(examples)
        outputs = jax.jit(functools.partial(predicted, self.experiment))(self.variables, arrays)
        return jax.tree.map(np.asarray, outputs)

    def measured(self) -> dict[str, np.ndarray]:
        """The measurements of the experiment after training, by name; empty if it measures nothing.

        Raises:
            TypeError: ``measure`` returned something other than a dict of arrays of real numbers.
        """
        found: Any = self.experiment.measure(self) if self.experiment.measure is not None else {}
        if not isinstance(found, Mapping):
            what = "None" if found is None else f"an object of type {type(found).__name__}"
            raise TypeError(f"measure: expected a dict of arrays by name, got {what}.")
        arrays = {str(name): np.asarray(value) for name, value in found.items()}
        for name, array in arrays.items():
            if array.dtype.kind in "cmMOS":  # kinds that JSON has no form for
                raise TypeError(f"measure: expected real numbers in {name!r}, got an array of dtype {array.dtype}.")
        return arrays

    def evaluate(
        self, split: Split | StreamedSplit | str = "test", *, parallel: Parallel | None = None
    ) -> dict[str, float]:
        """The measures of a split by name.

        Args:
            split: ``"train"``, ``"validation"``, ``"test"``, or examples.
            parallel: the devices; by default one.

        Raises:
            ValueError: the experiment has no such split.
        """
        return self._evaluator(split, parallel)(self.variables)

    def outputs(
        self, split: Split | StreamedSplit | str = "test", *, parallel: Parallel | None = None
    ) -> tuple[Any, dict[str, np.ndarray]]:
        """The results of ``predict`` for a whole split, and the arrays of the split without its images.

        Args:
            split: ``"train"``, ``"validation"``, ``"test"``, or examples.
            parallel: the devices; by default one.

        Raises:
            ValueError: the experiment has no ``predict``, or no such split.
        """
        return self._evaluator(split, parallel).outputs(self.variables)

    def _evaluator(self, split: Split | StreamedSplit | str, parallel: Parallel | None) -> Evaluator:
        return Evaluator(Inference.of(self.experiment), self._split(split), parallel=parallel)

    def _split(self, split: Split | StreamedSplit | str) -> Split | StreamedSplit:
        if not isinstance(split, str):
            return split
        splits = {name: getattr(self.experiment.data, name) for name in ("train", "validation", "test")}
        there: dict[str, Any] = {name: found for name, found in splits.items() if found is not None}
        if split not in there:
            raise ValueError(f"there is no split {split!r}. {did_you_mean(split, there)}")
        return there[split]


def write_measured(run: RunFolder, trained: Trained) -> list[str]:
    """Writes what the experiment measures after training into ``measured.json`` of the run; returns the names.

    With several processes nothing is measured, since each holds a part of the run: resume the finished run in one
    process.
    """
    if jax.process_count() > 1:
        return []
    found = {name: value.tolist() for name, value in trained.measured().items()}
    if found:
        write_json(run.path / "measured.json", found)
    return list(found)


def load_trained(
    run: str | os.PathLike[str] | RunFolder,
    kind: CheckpointKind,
    *,
    experiment: Experiment | None = None,
    trust: bool = False,
) -> Trained:
    """Builds a run's recorded experiment and reads its ``"last"`` or ``"best"`` checkpoint.

    Args:
        run: the folder of the run.
        kind: ``"last"`` or ``"best"``.
        experiment: what was trained; by default built from the recorded ``experiment.py``. A run from Python has no
            such file.
        trust: whether to run the recorded ``experiment.py`` if this user has not run it before.

    Raises:
        RunError: the folder holds no run, the run has no such checkpoint, its record is damaged, or its code is not
            trusted.
    """
    run = RunFolder.open(run)
    if experiment is None:
        file, config = run.load_experiment(trust=trust)
        experiment = file.build(config)
    # The checkpoint is read for one device, whatever the number of devices that the run was trained on.
    template = Parallel.over(1).template(abstract_state(experiment))
    state = restore(run.checkpoints, kind, template)
    return Trained(experiment=experiment, variables=state.eval_variables, step=int(state.step))
