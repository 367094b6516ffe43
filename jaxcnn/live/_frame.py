"""The program that computes a frame: the layers, weights and gradients of the network for one example."""

import dataclasses
import threading
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn.attribution import layer_gradients
from jaxcnn.live._tiles import is_drawn, layer_tiles, weight_columns, weight_tiles
from jaxcnn.train import Experiment

MOST_LAYERS = 40
LOSS = "loss"


@dataclasses.dataclass(frozen=True)
class Example:
    """The example for which a frame is computed.

    Attributes:
        arrays: a batch of one example, as the data set has it.
        labelled: whether its label is known; the label of a drawing is the predicted class.
    """

    arrays: Mapping[str, np.ndarray]
    labelled: bool = True


class FrameProgram:
    """Computes a frame from variables and an example; compiled in a thread, while training goes on.

    A frame has the predictions for some examples, and for one of them the layers, the weights, and the gradients of
    its loss with respect to both. The loss is that of ``evaluate``: without augmentation and dropout, and with the
    running statistics of batch norm.

    Args:
        experiment: whose network is shown.
        examples: a batch whose predictions are shown.
    """

    def __init__(self, experiment: Experiment, examples: Mapping[str, np.ndarray]) -> None:
        self.experiment, self.examples = experiment, dict(examples)
        self.layers: list[tuple[str, tuple[int, ...]]] = []
        self.weights: list[tuple[str, tuple[int, ...]]] = []
        self.failure: str | None = None
        self._compiled: Any = None
        self._thread: threading.Thread | None = None

    def ready(self, variables: Mapping[str, Any]) -> bool:
        """Whether the program is compiled; starts to compile it."""
        if self._compiled is None and self._thread is None:
            shapes = jax.tree.map(_abstract, dict(variables))
            # Python waits for it at its end, since a process that ends while XLA compiles in a thread may crash.
            self._thread = threading.Thread(target=self._compile, args=(shapes,), name="live view")
            self._thread.start()
        return self._compiled is not None

    def wait(self) -> None:
        """Waits until the program is compiled, or has failed to compile."""
        if self._thread is not None:
            self._thread.join()

    def __call__(self, variables: Mapping[str, Any], example: Example) -> dict[str, Any]:
        """The frame, as NumPy arrays."""
        found = self._compiled(dict(variables), dict(example.arrays), np.bool_(example.labelled), self.examples)
        frame: dict[str, Any] = jax.device_get(found)
        return frame

    def _compile(self, shapes: Any) -> None:
        one = {name: array[:1] for name, array in self.examples.items()}
        try:
            compiled = jax.jit(self._frame).lower(shapes, one, np.bool_(True), self.examples).compile()
        except Exception as error:  # of the experiment's functions, or of XLA: the page shows it, and training goes on
            self.failure = f"{type(error).__name__}: {error}"
            return
        self._compiled = compiled

    def _frame(self, variables: Any, example: Any, labelled: Any, examples: Any) -> dict[str, Any]:
        prepared = dict(self.experiment.prepare(dict(example)))
        found: dict[str, Any] = {}
        classes = self._probabilities(variables, prepared)
        if classes is not None:
            found["probabilities"] = classes[0]
            found["predictions"] = self._probabilities(variables, dict(self.experiment.prepare(dict(examples))))
            if "label" in prepared and prepared["label"].shape == (1,):
                guess = classes.argmax(-1).astype(prepared["label"].dtype)
                prepared["label"] = jnp.where(labelled, prepared["label"], guess)
        name = "image" if "image" in prepared else next(iter(prepared))
        return found | self._inside(variables, prepared, name)

    def _probabilities(self, variables: Any, prepared: Any) -> jax.Array | None:
        """The probabilities of the classes ``(n, classes)``, if the experiment predicts them."""
        if self.experiment.predict is None:
            return None
        outputs = self.experiment.predict(dict(variables), prepared)
        found = outputs.get("probabilities") if isinstance(outputs, Mapping) else None
        return found if getattr(found, "ndim", 0) == 2 else None

    def _inside(self, variables: Any, prepared: Any, name: str) -> dict[str, Any]:
        """Layers and weights, with the gradients of the loss."""

        def loss(params: Any, x: jax.Array) -> jax.Array:
            measures = self.experiment.evaluate({**variables, "params": params}, {**prepared, name: x})
            if LOSS not in measures:
                raise ValueError("the experiment's evaluate returns no 'loss', whose gradients would be shown.")
            return measures[LOSS]

        x, params = prepared[name], variables["params"]
        layers = layer_gradients(lambda x: loss(params, x), x)
        layers = {layer: each for layer, each in layers.items() if 2 <= each.value.ndim <= 5}
        names = _some(list(layers))
        gradients = jax.grad(lambda params: loss(params, x).sum())(params)
        weights = {path: leaf for path, leaf in _leaves(params).items() if is_drawn(leaf)}
        paths = _some(list(weights))
        slopes = _leaves(gradients)
        self.layers = [(each, tuple(layers[each].value.shape[1:])) for each in names]
        self.weights = [(path, tuple(weights[path].shape)) for path in paths]
        return {
            "loss": loss(params, x)[0],
            "input": layer_tiles(x[0], signed=False),
            "layers": [
                (layer_tiles(layers[each].value[0]), layer_tiles(layers[each].gradient[0], signed=True))
                for each in names
            ],
            "weights": [(weight_tiles(weights[path]), weight_tiles(slopes[path])) for path in paths],
        }

    def about(self) -> dict[str, Any]:
        """The names and shapes of layers and weights, in the order of a frame."""
        return {
            "layers": [{"name": name, "shape": shape} for name, shape in self.layers],
            "weights": [
                {"name": name, "shape": shape, "columns": weight_columns(shape)} for name, shape in self.weights
            ],
        }


def _some(names: list[str]) -> list[str]:
    """At most ``MOST_LAYERS`` of the names, evenly spaced."""
    if len(names) <= MOST_LAYERS:
        return names
    return [names[index] for index in np.linspace(0, len(names) - 1, MOST_LAYERS).round().astype(int)]


def _leaves(tree: Any) -> dict[str, Any]:
    paths, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in paths}


def _abstract(array: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=getattr(array, "sharding", None))
