"""The model of a run as a StableHLO program, which predicts and evaluates without any code of the run.

``model.json`` holds the function from variables and uint8 images to logits, exported by ``jax.export``: model,
preparation, normalisation and views at test time in one. The program has no parameters in it; it takes those of any
checkpoint. With it is recorded what the images and the classes are. Unlike Python code, a program of StableHLO
operations computes arrays and can do nothing else, provided that it calls no function outside of the program, which is
checked. ``docs/decisions/0007-trust.md`` gives the reasons.
"""

import base64
import contextlib
import dataclasses
import functools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from jaxcnn.data import Split, StreamedSplit, is_prepared, load, names, stream
from jaxcnn.train._checkpoints.checksums import Record, check_seal, named_leaves, seal
from jaxcnn.train._checkpoints.reading import Saved, newest_good, present, read_arrays
from jaxcnn.train._errors import RunError
from jaxcnn.train._experiment import Experiment
from jaxcnn.train._reports.warnings_log import log
from jaxcnn.train._runs.files import write_json
from jaxcnn.train._runs.folder import RunFolder
from jaxcnn.train._state import Variables, abstract_state
from jaxcnn.train._trained import Trained

FILE = "model.json"
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
# Where a model does not trace with a batch of unknown size, its program takes batches of this size.
BATCH = 16
# What reading a file of JSON may raise that is damaged or was made by somebody else.
UNREADABLE = (OSError, ValueError, LookupError, TypeError, RecursionError, RunError)
# Operations outside of StableHLO that compute on arrays only. Any other could call into the process.
ALLOWED_CALLS = {"Sharding", "shape_assertion", "stablehlo.dynamic_reduce_window", "stablehlo.dynamic_top_k"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model:
    """What prediction and evaluation need of a run.

    Attributes:
        logits: ``(variables, images) -> logits`` of uint8 images.
        variables: of the checkpoint.
        step: of the checkpoint.
        image_shape: ``(height, width, channels)``.
        class_names: in the order of the logits.
        resize: how images of other sizes are brought to this one, ``"fit"`` or ``"cover"``.
        dataset: the name of the data set.
        fingerprint: of the data set.
        streamed: whether the data set is a stream.
    """

    logits: Callable[[Variables, jax.Array], jax.Array]
    variables: Variables
    step: int
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    resize: str
    dataset: str
    fingerprint: str
    streamed: bool

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Class probabilities ``(n, classes)`` of uint8 images ``(n, *image_shape)``."""
        return np.asarray(jax.nn.softmax(self.logits(self.variables, jax.device_put(images))))

    def test_images(self) -> Split | StreamedSplit | None:
        """The run's test images, if they can be found by name; their fingerprint says that they are the same."""
        name, (height, width, channels) = self.dataset, self.image_shape
        if name not in names() or (name != "digits" and not is_prepared(name)):
            return None  # to load others would download them
        if self.streamed:
            found = stream(name, image_size=height, channels=channels, resize=self.resize)
            return found.test if found.fingerprint == self.fingerprint else None
        sizes = [None, height] if height == width else [None]
        for size in sizes:
            data = load(name, image_size=size)
            if data.fingerprint == self.fingerprint:
                return data.test
        return None


def model_of(trained: Trained) -> Model:
    """The model of an experiment whose code has been run."""
    experiment = trained.experiment
    return _model(_about(experiment), logits=experiment.logits, variables=trained.variables, step=trained.step)


def _model(about: dict[str, Any], **rest: Any) -> Model:
    lists = {name: tuple(about[name]) for name in ("image_shape", "class_names")}
    return Model(**rest, **{**about, **lists})


def _about(experiment: Experiment) -> dict[str, Any]:
    dataset = experiment.dataset
    return {
        "image_shape": list(dataset.image_shape),
        "class_names": list(dataset.class_names),
        "resize": getattr(dataset, "resize", "fit"),
        "dataset": dataset.name,
        "fingerprint": dataset.fingerprint,
        "streamed": experiment.streams,
    }


def record_model(experiment: Experiment, run: RunFolder) -> None:
    """Writes ``model.json``; warns where the model cannot be exported.

    A program that is there is written again if it was made by another version of JAX, whose programs are read for half
    a year only.
    """
    file = run.path / FILE
    with contextlib.suppress(*UNREADABLE):
        if _content(file)["jax"] == jax.__version__:
            return
    try:
        program = base64.b64encode(_exported(experiment)).decode()
        write_json(file, seal({"jax": jax.__version__, "about": _about(experiment), "program": program}))
    except Exception as error:  # whatever tracing or exporting a model of the user raises
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        log.warning("the model is not recorded, so predict and evaluate will run the run's own code (%s)", reason)


def _exported(experiment: Experiment) -> bytes:
    variables = abstract_state(experiment).eval_variables
    (batch,) = export.symbolic_shape("batch")
    errors: list[Exception] = []
    for size, platforms in ((batch, PLATFORMS), (BATCH, PLATFORMS), (BATCH, None)):
        images = jax.ShapeDtypeStruct((size, *experiment.dataset.image_shape), jnp.uint8)
        try:
            exported = export.export(jax.jit(experiment.logits), platforms=platforms)(variables, images)
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


def read_model(run: RunFolder, kind: str) -> Model | None:
    """The recorded model with the variables of the ``"last"`` or ``"best"`` checkpoint; None where none is recorded.

    Raises:
        RunError: the program is damaged or calls anything outside of itself, or there is no good checkpoint.
    """
    file = run.path / FILE
    if not file.exists():
        return None
    advice = f"Delete {file} to use the run's own code instead."
    try:
        content = _content(file)
        about, program, made_with = content["about"], base64.b64decode(content["program"]), content["jax"]
    except UNREADABLE as error:
        raise RunError(f"{file} is damaged ({error}). {advice}") from error
    try:
        exported = export.deserialize(bytearray(program))
        _check_calls(exported)
        (variables, images), _ = jax.tree.unflatten(exported.in_tree, exported.in_avals)
    except Exception as error:  # flatbuffers and MLIR have errors of their own
        raise RunError(
            f"the model in {file}, which was made with JAX {made_with}, cannot be used with JAX {jax.__version__}: "
            f"{error}. {advice}"
        ) from error
    values, step = _read_variables(run.checkpoints, kind, variables)
    size = images.shape[0] if isinstance(images.shape[0], int) else None

    def logits(variables: Variables, images: jax.Array) -> jax.Array:
        if size is None:
            return exported.call(variables, images)
        count = len(images)
        images = jnp.pad(images, ((0, -count % size), (0, 0), (0, 0), (0, 0)))
        parts = [exported.call(variables, images[start : start + size]) for start in range(0, len(images), size)]
        return jnp.concatenate(parts)[:count]

    return _model(about, logits=logits, variables=values, step=step)


def _content(file: Path) -> dict[str, Any]:
    return check_seal(json.loads(file.read_text(encoding="utf-8")))


def _read_variables(folder: Path, kind: str, wanted: Variables) -> tuple[Variables, int]:
    """The variables of the newest good checkpoint and its step, without the rest of the state."""
    found = newest_good(present(folder, kind), functools.partial(_read_some, wanted))
    return found.content, found.step


def _read_some(wanted: Variables, one: Saved, record: Record) -> Variables:
    arrays = record["arrays"]
    params = "ema_params" if any(name.startswith("ema_params/") for name in arrays) else "params"
    place = {"params": params, "batch_stats": "batch_stats"}
    template = {place[name]: tree for name, tree in wanted.items() if jax.tree.leaves(tree)}
    if missing := [name for name in named_leaves(template) if name not in arrays]:
        raise RunError(f"the {one} in {one.folder} does not fit the recorded model: it has no {missing[0]}.")
    template = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), template)
    state = read_arrays(one.path, arrays, template, some=True)
    return {name: state.get(place[name], {}) for name in wanted}
