"""A run's functions as StableHLO programs, which predict and evaluate without any code of the run.

``model.json`` holds ``predict`` and ``evaluate``, functions of variables and batches, exported by ``jax.export``
together with ``prepare``. The programs have no parameters in them; they take those of any checkpoint. With them is
recorded which arrays they read and what the classes are. Unlike Python code, a program of StableHLO operations computes
arrays and can do nothing else, provided that it calls no function outside of the program, which is checked.
``docs/decisions/0007-trust.md`` gives the reasons. ``summarize`` runs on the host and is not recorded.
"""

import base64
import contextlib
import dataclasses
import functools
import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from jaxcnn._arrays import ArrayLike
from jaxcnn._files import write_json
from jaxcnn._geometry import Resize
from jaxcnn._reprs import short_repr
from jaxcnn.data import Split, StreamedSplit, is_prepared, names, read_image, stream
from jaxcnn.data import load as load_data
from jaxcnn.train._calls import evaluated, predicted
from jaxcnn.train._checkpoints import KINDS, CheckpointKind, check_seal, read_variables, saved, seal
from jaxcnn.train._errors import RunError
from jaxcnn.train._evaluate import Evaluator, Inference
from jaxcnn.train._experiment import Experiment
from jaxcnn.train._reports import log
from jaxcnn.train._runs import RunFolder
from jaxcnn.train._state import Variables, abstract_variables
from jaxcnn.train._trained import Trained

FILE = "model.json"
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
# Where a model does not trace with a batch of unknown size, its program takes batches of this size.
BATCH = 16
# Exceptions of reading a JSON file that is damaged or was not written by jaxcnn.
UNREADABLE = (OSError, ValueError, LookupError, TypeError, RecursionError, RunError)
# Operations outside of StableHLO that compute on arrays only. Any other could call into the process.
ALLOWED_CALLS = {"Sharding", "shape_assertion", "stablehlo.dynamic_reduce_window", "stablehlo.dynamic_top_k"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecordedModel:
    """A run's functions and variables for prediction and evaluation.

    Attributes:
        inference: the functions.
        variables: of the checkpoint.
        step: of the checkpoint.
        fields: the shape and the dtype of one example of each array of a batch, as lists and names.
        inputs: the arrays that prediction reads.
        class_names: in the order of the probabilities; empty where there are no classes.
        resize: how images of other sizes are brought to this one, ``"fit"`` or ``"cover"``.
        dataset: the name of the data set.
        fingerprint: of the data set.
        streamed: whether the data set is a stream.
    """

    inference: Inference
    variables: Variables
    step: int
    fields: dict[str, list[Any]]
    inputs: tuple[str, ...]
    class_names: tuple[str, ...]
    resize: Resize
    dataset: str
    fingerprint: str
    streamed: bool

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """``(height, width, channels)`` of every ``image``.

        Raises:
            RunError: the run does not predict from images alone.
        """
        if self.inputs != ("image",):
            hint = " data.read_video reads the frames of a video." if "video" in self.inputs else ""
            raise RunError(
                f"the run predicts from {', '.join(self.inputs) or 'nothing'}, not from images alone. In "
                f"Python, pass these arrays by name: jaxcnn.load(run).predict("
                f"{', '.join(f'{name}=...' for name in self.inputs)}).{hint}"
            )
        height, width, channels = self.fields["image"][0]
        return height, width, channels

    __repr__ = short_repr

    def predict(self, examples: ArrayLike | str | os.PathLike[str] | None = None, **arrays: np.ndarray) -> Any:
        """The predictions of the recorded function for examples.

        Args:
            examples: the array, if prediction reads one array; or paths of image files of any size and mode, which
                are read as ``jaxcnn predict`` reads them. Otherwise pass each array by its name.
            arrays: the arrays of ``inputs`` by name.

        Returns:
            what the experiment's ``predict`` returns, such as ``{"probabilities": ...}``, as NumPy arrays.

        Raises:
            RunError: the experiment has no ``predict``, or other arrays are needed, or of other shapes or dtypes.
        """
        if self.inference.predict is None:
            raise RunError("this run predicts nothing: its experiment has no predict.")
        if examples is not None and len(self.inputs) == 1:
            arrays = {self.inputs[0]: self._read(examples)}
        if set(arrays) != set(self.inputs):
            raise RunError(f"expected the arrays {', '.join(self.inputs)}, got {', '.join(arrays) or 'none of them'}.")
        self._check(arrays)
        return jax.tree.map(np.asarray, self.inference.predict(self.variables, jax.device_put(arrays)))

    def _check(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Refuses arrays that are not of the shapes and dtypes for which the model was recorded."""
        for name, array in arrays.items():
            shape, dtype = self.fields[name]
            given, kind = np.shape(array), jax.dtypes.canonicalize_dtype(np.asarray(array).dtype).name
            if given[1:] != tuple(shape) or not given or not given[0]:
                hint = " Add an axis for the examples in front." if given == tuple(shape) else ""
                raise RunError(f"expected {name!r} of the shape (n, {', '.join(map(str, shape))}), got {given}.{hint}")
            if kind != dtype:
                raise RunError(
                    f"expected {name!r} of the dtype {dtype}, as the data set of the run has it, got {kind}. Give the "
                    f"examples as an array of {dtype}; image files are read as uint8, from 0 to 255."
                )
        if len({len(array) for array in arrays.values()}) > 1:
            lengths = ", ".join(f"{name} has {len(array)}" for name, array in arrays.items())
            raise RunError(f"expected arrays of one length, with an entry for each example, but {lengths}.")

    def _read(self, examples: Any) -> np.ndarray:
        """Image files as an array; arrays as they are."""
        paths = [examples] if isinstance(examples, str | os.PathLike) else examples
        if len(paths) and all(isinstance(path, str | os.PathLike) for path in paths):
            files = [Path(path) for path in paths]
            return np.stack([read_image(file, image_shape=self.image_shape, resize=self.resize) for file in files])
        return np.asarray(examples)

    @staticmethod
    def of(trained: Trained) -> "RecordedModel":
        """The model of an experiment whose code has been run."""
        experiment = trained.experiment
        inference = Inference.of(experiment)
        return _model(_about(experiment), inference=inference, variables=trained.variables, step=trained.step)

    def evaluate(self, split: Split | StreamedSplit) -> dict[str, float]:
        """The measures of a split by name, such as of ``test_split()``."""
        return Evaluator(self.inference, split)(self.variables)

    def outputs(self, split: Split | StreamedSplit) -> tuple[Any, dict[str, np.ndarray]]:
        """The predictions for a whole split, and the arrays of the split without its images.

        Raises:
            ValueError: the experiment had no ``predict``.
        """
        return Evaluator(self.inference, split).outputs(self.variables)

    def test_split(self) -> Split | StreamedSplit | None:
        """The run's test split, if it can be found by name; its fingerprint shows that it is the same."""
        name = self.dataset
        if name not in names() or (name != "digits" and not is_prepared(name)):
            return None  # loading other data sets would download them
        if "image" not in self.fields:
            return None
        height, width, channels = self.fields["image"][0]
        if self.streamed:
            found = stream(name, image_size=height, channels=channels, resize=self.resize)
            return found.test if found.fingerprint == self.fingerprint else None
        sizes = [None, height] if height == width else [None]
        for size in sizes:
            data = load_data(name, image_size=size)
            if data.fingerprint == self.fingerprint:
                return data.test
        return None


def _model(about: dict[str, Any], **rest: Any) -> RecordedModel:
    lists = {name: tuple(about[name]) for name in ("inputs", "class_names")}
    return RecordedModel(**rest, **{**about, **lists})


def _about(experiment: Experiment) -> dict[str, Any]:
    data = experiment.data
    return {
        "fields": {name: [list(shape), dtype.name] for name, (shape, dtype) in data.train.fields.items()},
        "inputs": list(inputs_of(experiment)),
        "class_names": list(data.class_names),
        "resize": data.resize,
        "dataset": data.name,
        "fingerprint": data.fingerprint,
        "streamed": experiment.streams,
    }


def inputs_of(experiment: Experiment) -> tuple[str, ...]:
    """The arrays of a batch that prediction reads: those without which it cannot be traced."""
    if experiment.predict is None:
        return ()
    variables = abstract_variables(experiment)
    batch = _structs(experiment, 2)
    for name in sorted(batch, key=lambda name: name in ("image", "video")):  # what is most likely a target first
        rest = {other: struct for other, struct in batch.items() if other != name}
        try:
            jax.eval_shape(functools.partial(predicted, experiment), variables, rest)
        except Exception:  # a function may raise any exception if an array is missing
            continue
        batch = rest
    return tuple(batch)


def record_model(experiment: Experiment, run: RunFolder) -> None:
    """Writes ``model.json``; warns where the functions cannot be exported.

    Existing programs are written again if they were made by another version of JAX, since JAX guarantees to read
    programs for half a year only, or if nothing is saved yet: an earlier start of the run may have been of another
    experiment.
    """
    file = run.path / FILE
    with contextlib.suppress(*UNREADABLE):
        if saved(run.checkpoints, KINDS) and _content(file)["jax"] == jax.__version__:
            return
    try:
        about = _about(experiment)
        functions: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
            "evaluate": (functools.partial(evaluated, experiment), tuple(about["fields"]))
        }
        if experiment.predict is not None:
            functions["predict"] = (functools.partial(predicted, experiment), tuple(about["inputs"]))
        programs = {
            name: base64.b64encode(_exported(experiment, function, arrays)).decode()
            for name, (function, arrays) in functions.items()
        }
        write_json(file, seal({"jax": jax.__version__, "about": about, "programs": programs}))
    except Exception as error:  # whatever tracing or exporting a function of the user raises
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        log.warning("the model is not recorded, so predict and evaluate will run the run's own code (%s)", reason)


def _structs(experiment: Experiment, rows: Any) -> dict[str, Any]:
    fields = experiment.data.train.fields
    return {name: jax.ShapeDtypeStruct((rows, *shape), dtype) for name, (shape, dtype) in fields.items()}


def _exported(experiment: Experiment, function: Callable[..., Any], arrays: tuple[str, ...]) -> bytes:
    variables = abstract_variables(experiment)
    (batch,) = export.symbolic_shape("batch")
    errors: list[Exception] = []
    for size, platforms in ((batch, PLATFORMS), (BATCH, PLATFORMS), (BATCH, None)):
        structs = {name: struct for name, struct in _structs(experiment, size).items() if name in arrays}
        try:
            exported = export.export(jax.jit(function), platforms=platforms)(variables, structs)
            _check_calls(exported)
            return bytes(exported.serialize())
        except Exception as error:  # a model may not trace with a batch of unknown size, or lower for another platform
            errors.append(error)
    raise errors[-1]


def _check_calls(exported: export.Exported) -> None:
    """Refuses a program that calls anything outside of itself.

    Raises:
        RunError: names what it calls.
    """
    text = exported.mlir_module()
    calls = re.findall(r"custom_call(?: @([\w.$-]+)\()?", text)
    if others := sorted({call or "an unnamed function" for call in calls} - ALLOWED_CALLS):
        raise RunError(f"its program calls {', '.join(others)}, which is not a StableHLO operation")


def load(run: str | os.PathLike[str] | RunFolder, kind: CheckpointKind = "last") -> RecordedModel:
    """The model of a run, only from the files of its folder: neither its code nor its data are required.

    Args:
        run: the folder of a run.
        kind: which checkpoint.

    Returns:
        an object with ``predict``, ``variables``, ``class_names`` and ``inputs``.

    Raises:
        RunError: there is no run, its model is not recorded or damaged, or there is no good checkpoint.
    """
    folder = run if isinstance(run, RunFolder) else RunFolder.open(Path(run))
    found = read_model(folder, kind)
    if found is None:
        raise RunError(
            f"{folder.path} has no {FILE}: its model could not be recorded, or was deleted. Use the run's own code: "
            f"train.load_trained(train.RunFolder.open({str(folder.path)!r}), {kind!r})."
        )
    return found


def read_model(run: RunFolder, kind: CheckpointKind) -> RecordedModel | None:
    """The recorded model with the variables of the ``"last"`` or ``"best"`` checkpoint; None where none is recorded.

    Raises:
        RunError: a program is damaged or calls anything outside of itself, or there is no good checkpoint.
    """
    file = run.path / FILE
    if not file.exists():
        return None
    advice = f"Delete {file} to use the run's own code instead."
    try:
        content = _content(file)
        if "program" in content and "programs" not in content:
            raise RunError("it was recorded by jaxcnn 0.1, which knew one program")
        about, made_with = content["about"], content["jax"]
        programs = {name: base64.b64decode(program) for name, program in content["programs"].items()}
    except UNREADABLE as error:
        raise RunError(f"{file} is damaged or of another version ({error}). {advice}") from error
    try:
        functions = {}
        for name, program in programs.items():
            exported = export.deserialize(bytearray(program))
            _check_calls(exported)
            functions[name] = _function(exported)
            (variables, _), _ = jax.tree.unflatten(exported.in_tree, exported.in_avals)
    except Exception as error:  # flatbuffers and MLIR have errors of their own
        raise RunError(
            f"the model in {file}, which was made with JAX {made_with}, cannot be used with JAX {jax.__version__}: "
            f"{error}. {advice}"
        ) from error
    values, step = read_variables(run.checkpoints, kind, variables)
    inference = Inference(evaluate=functions["evaluate"], predict=functions.get("predict"))
    return _model(about, inference=inference, variables=values, step=step)


def _function(exported: export.Exported) -> Callable[..., Any]:
    """A program as a function of variables and a batch of any size."""
    (_, batch), _ = jax.tree.unflatten(exported.in_tree, exported.in_avals)
    rows = next(iter(batch.values())).shape[0]

    def call(variables: Variables, arrays: dict[str, jax.Array]) -> Any:
        arrays = {name: arrays[name] for name in batch}  # targets that prediction does not read may be among them
        if not isinstance(rows, int):
            return exported.call(variables, arrays)
        count = len(next(iter(arrays.values())))
        filled = {
            name: jnp.pad(array, ((0, -count % rows), *[(0, 0)] * (array.ndim - 1))) for name, array in arrays.items()
        }
        parts = [
            exported.call(variables, {name: array[start : start + rows] for name, array in filled.items()})
            for start in range(0, count, rows)
        ]
        return jax.tree.map(lambda *leaves: jnp.concatenate(leaves)[:count], *parts)

    return call


def _content(file: Path) -> dict[str, Any]:
    return check_seal(json.loads(file.read_text(encoding="utf-8")))
