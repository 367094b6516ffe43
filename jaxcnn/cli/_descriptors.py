"""Shared by `index` and `search`: the descriptor of an image by a layer of a run's network."""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxcnn.cli import _trust

if TYPE_CHECKING:
    import numpy as np

    from jaxcnn.train import RecordedModel, RunFolder

FILE = "index.npz"
POOLS = ("gem", "mac", "spoc", "r_mac")
BLOCK = 64  # images that are described at once


@dataclasses.dataclass(frozen=True)
class Describer:
    """A layer of a run's network and a pool, as a function of images.

    Attributes:
        model: of the run; it determines how image files are read.
        layer: its name.
        pool: the name of a pool; empty for a layer that is one vector for each image.
        function: images ``(n, height, width, channels)`` as the data set has them -> unit vectors ``(n, channels)``.
    """

    model: "RecordedModel"
    layer: str
    pool: str
    function: Any

    def describe(self, images: "np.ndarray") -> "np.ndarray":
        """The descriptors of images, float32 ``(n, channels)``, each of norm 1."""
        import numpy as np

        found = []
        for start in range(0, len(images), BLOCK):
            block = images[start : start + BLOCK]
            whole = np.concatenate([block, np.repeat(block[-1:], BLOCK - len(block), 0)])
            found.append(np.asarray(self.function(whole))[: len(block)])
        return np.concatenate(found)

    def read(self, paths: Sequence[Path], inverted: Sequence[bool]) -> "np.ndarray":
        """Image files as arrays that the network reads."""
        import numpy as np

        from jaxcnn.data import read_image

        options: Any = {"image_shape": self.model.image_shape, "resize": self.model.resize}
        return np.stack([read_image(path, invert=flag, **options) for path, flag in zip(paths, inverted, strict=True)])


def open_describer(run: "RunFolder", options: argparse.Namespace, *, layer: str | None, pool: str | None) -> Describer:
    """The describer of a run, whose ``experiment.py`` is run.

    Args:
        run: its folder.
        options: with ``checkpoint`` and ``trust``.
        layer: its name; None for the last layer of maps with several positions.
        pool: one of ``POOLS``; None for the first where the layer has maps.

    Raises:
        RunError: the run does not predict from images.
        ValueError: there is no such layer, or a pool for a layer that has no positions.
    """
    import jax
    import jax.numpy as jnp
    import numpy as np

    from jaxcnn import functional
    from jaxcnn.attribution import layer_outputs, layer_shapes
    from jaxcnn.train import RecordedModel, RunError, load_trained

    file, config = _trust.load_experiment(run, options)
    trained = load_trained(run, options.checkpoint, experiment=file.build(config))
    model, experiment = RecordedModel.of(trained), trained.experiment
    if experiment.predict is None or "image" not in experiment.data.train.fields:
        raise RunError("this run does not predict from images, so it has no layer to describe them by.")

    def prepare(images: Any) -> Any:
        return experiment.prepare({"image": images})["image"]

    def network(x: Any) -> Any:
        return experiment.predict(trained.variables, {"image": x})  # type: ignore[misc]

    shape, dtype = experiment.data.train.fields["image"]
    x = jax.eval_shape(prepare, jax.ShapeDtypeStruct((1, *shape), dtype))
    shapes = layer_shapes(network, np.zeros(x.shape, x.dtype))
    if layer is None:
        layer = _last_maps(shapes)
    chosen = shapes.get(layer) or shapes.get(f"{layer}()") or ()
    if len(chosen) == 2 and pool is not None:
        raise ValueError(f"--pool {pool}: the layer {layer!r} is one vector for each image, which needs no pool.")
    name = "" if len(chosen) == 2 else pool or POOLS[0]

    @jax.jit
    def function(images: jax.Array) -> jax.Array:
        found = layer_outputs(network, prepare(images), layers=[layer])[layer]
        if found.ndim not in (2, 4):
            raise ValueError(f"the layer {layer!r} has the shape {found.shape}; maps and vectors describe images.")
        vectors = getattr(functional, name)(found) if found.ndim == 4 else found
        vectors = vectors.astype(jnp.float32)
        return vectors / jnp.maximum(jnp.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)

    return Describer(model, layer, name, function)


def _last_maps(shapes: dict[str, tuple[int, ...]]) -> str:
    """The last layer of maps with several positions; entries of ``features`` come before results of modules."""
    maps = [name for name, shape in shapes.items() if len(shape) == 4 and min(shape[1:3]) > 1]
    named = [name for name in maps if not name.endswith("()")] or maps
    if not named:
        raise ValueError("the network has no layer with maps of the image; name a layer of vectors by --layer.")
    return named[-1]
