"""Shared by `explain` and `units`: the function of a run's network, from prepared images to scores or numbers."""

import argparse
import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from jaxcnn.cli import _trust

if TYPE_CHECKING:
    from jaxcnn.train import RunFolder, Trained


@dataclasses.dataclass(frozen=True)
class Inside:
    """A run's network as functions of images.

    Attributes:
        trained: the run's experiment and the variables of a checkpoint.
        scores: prepared images -> logits ``(n, classes)``, or the logarithms of probabilities where the experiment's
            ``predict`` calls several networks, or one several times. Of a regression, its numbers ``(n, count)``.
        prepare: images as the data set has them -> the images that ``scores`` reads.
        shapes: of the layers of ``scores`` for one image, by name.
        numbers: the name of the numbers that a regression predicts; None where classes are predicted.
    """

    trained: "Trained"
    scores: Callable[[Any], Any]
    prepare: Callable[[Any], Any]
    shapes: dict[str, tuple[int, ...]]
    numbers: str | None

    def of_raw(self, images: Any) -> Any:
        """The scores of images as the data set has them."""
        return self.scores(self.prepare(images))

    def layer(self, name: str | None) -> str:
        """A layer of maps by name; unless given, the last that has more than one position.

        Raises:
            ValueError: there is no such layer, or it has no maps.
        """
        maps = [each for each, shape in self.shapes.items() if len(shape) == 4 and min(shape[1:3]) > 1]
        maps = [
            each for each in maps if not each.endswith("()")
        ] or maps  # a module's own result is before its rectifier
        if name is not None:
            return name
        if not maps:
            raise ValueError("the network has no layer with maps of the image.")
        return maps[-1]


def open_inside(run: "RunFolder", options: argparse.Namespace) -> Inside:
    """The network of a run, whose ``experiment.py`` is run.

    Raises:
        RunError: the run predicts neither the probabilities of classes of images nor numbers.
    """
    from jaxcnn.train import load_trained

    file, config = _trust.load_experiment(run, options)
    return inside_of(load_trained(run, options.checkpoint, experiment=file.build(config)))


def inside_of(trained: "Trained") -> Inside:
    """The network of an experiment with trained variables.

    Raises:
        RunError: the experiment predicts neither the probabilities of classes of images nor numbers.
    """
    import jax
    import numpy as np

    from jaxcnn.attribution import layer_outputs, layer_shapes
    from jaxcnn.train import RunError

    experiment = trained.experiment
    shape, dtype = experiment.data.train.fields.get("image", (None, None))
    if experiment.predict is None or shape is None:
        raise RunError("this run does not predict from images, so there is nothing to explain.")

    def prepare(images: Any) -> Any:
        return experiment.prepare({"image": images})["image"]

    def outputs(images: Any) -> Any:
        assert experiment.predict is not None
        return experiment.predict(trained.variables, {"image": images})

    x = jax.eval_shape(prepare, jax.ShapeDtypeStruct((1, *shape), dtype))
    name = explained(jax.eval_shape(outputs, x), targets=list(experiment.data.train.fields))

    def predicted(images: Any) -> Any:
        return outputs(images)[name].reshape(len(images), -1)

    def logits(images: Any) -> Any:
        return layer_outputs(predicted, images, layers=["()"])["()"]

    example = np.zeros(x.shape, x.dtype)
    if name != "probabilities":
        return Inside(trained, predicted, prepare, layer_shapes(predicted, example), name)
    expected = jax.eval_shape(predicted, x).shape
    try:
        alone = jax.eval_shape(logits, x).shape == expected
    except ValueError:  # no module, or one that is called several times
        alone = False
    scores = logits if alone else lambda images: jax.numpy.log(predicted(images))
    return Inside(trained, scores, prepare, layer_shapes(scores, example), None)


def explained(outputs: Any, *, targets: list[str]) -> str:
    """The name of the predictions that are explained: probabilities of classes, or the numbers of a regression.

    Args:
        outputs: of the experiment's ``predict``.
        targets: the arrays of the data; a regression predicts one of them.

    Raises:
        RunError: there are none, such as of a run that predicts a class for each pixel.
    """
    import jax.numpy as jnp

    from jaxcnn.train import RunError

    if isinstance(outputs, dict):
        if getattr(outputs.get("probabilities"), "ndim", 0) == 2:
            return "probabilities"
        numbers = [name for name in targets if getattr(outputs.get(name), "ndim", 0) in (1, 2)]
        if len(outputs) == len(numbers) == 1 and jnp.issubdtype(outputs[numbers[0]].dtype, jnp.floating):
            return numbers[0]
    raise RunError(
        "this run predicts neither the probabilities of classes of an image nor the numbers of a regression. Only "
        "these are explained."
    )
