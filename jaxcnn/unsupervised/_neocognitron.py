"""The learning rule of the neocognitron: competitive learning without labels."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn._arrays import ArrayLike, as_array
from jaxcnn._axes import as_int
from jaxcnn._errors import ShapeError
from jaxcnn.functional import max_pool_with_indices
from jaxcnn.models import Neocognitron, Stage

# q of the paper, the rate of reinforcement, in the first layer and in those after it.
FIRST_RATE, LATER_RATE = 1.0, 16.0


def winners(responses: ArrayLike, *, window: int) -> tuple[jax.Array, jax.Array]:
    """The cell of each plane of S-cells that is reinforced, if there is one.

    A cell is a candidate if no cell of any plane in the window around it has a larger response. Of each plane, the
    candidate with the largest response is reinforced. So different planes learn different features.

    Args:
        responses: ``(height, width, planes)``.
        window: side of the neighbourhood in which cells compete, the S-column of the paper.

    Returns:
        The positions of the winners ``(planes, 2)``, and whether there is one ``(planes,)``.

    Raises:
        TypeError: responses that are not made of numbers, or a window that is not an integer.

    Source: Fukushima (1980), section 3.

    >>> responses = jnp.zeros((3, 3, 2)).at[0, 0].set(jnp.array([2.0, 1.0])).at[2, 2, 1].set(0.5)
    >>> [value.tolist() for value in winners(responses, window=1)]
    [[[0, 0], [2, 2]], [True, True]]
    >>> [value.tolist() for value in winners(responses, window=5)]
    [[[0, 0], [0, 0]], [True, False]]
    """
    responses = as_array(responses, name="responses")
    height, width, planes = responses.shape
    # Positions are compared instead of values: XLA may compute a value twice with different rounding.
    strongest = responses.max(-1, keepdims=True)
    _, best_around = max_pool_with_indices(strongest, (window, window), strides=1, padding="SAME")
    cells = jnp.arange(height * width).reshape(height, width, 1)
    wins = (best_around == cells) & (responses.argmax(-1, keepdims=True) == jnp.arange(planes)[None, None])
    candidates = jnp.where(wins & (responses > 0), responses, 0).reshape(height * width, planes)
    best = candidates.argmax(0)
    return jnp.stack([best // width, best % width], -1), candidates.max(0) > 0


def reinforce(
    params: Mapping[str, jax.Array], x: ArrayLike, responses: ArrayLike, *, rate: float, window: int
) -> dict[str, jax.Array]:
    """One learning step of a layer of S-cells, with one image.

    For each winner, at ``n`` in plane ``k``: ``a[v, :, k] += q c[v] x[n + v]`` and ``b[k] += q / 2 v(n)``, with the
    fixed weights ``c`` and the inhibition ``v`` of ``models.Neocognitron``. If both are zero before, the excitation by
    the same input is then ``q v**2``, and the inhibition is smaller by the factor ``r / (1 + r)``:
    ``2r / (1 + r) * q / 2 * v**2``. So the response to that input is positive, and it is zero for inputs with a cosine
    similarity below ``r / (1 + r)``.

    Args:
        params: ``a`` and ``b`` of the layer.
        x: input of the layer, ``(height, width, channels)``.
        responses: of the layer, ``(height, width, planes)``.
        rate: ``q``.
        window: side of the neighbourhood in which cells compete.

    Returns:
        The updated ``a`` and ``b``.

    Raises:
        TypeError: arrays that are not made of numbers.

    Source: Fukushima (1980), equations 7 and 8.

    >>> params = {"a": jnp.zeros((3, 3, 1, 2)), "b": jnp.zeros(2)}
    >>> x = jnp.zeros((4, 4, 1)).at[1, 1].set(1.0)
    >>> new = reinforce(params, x, x * jnp.array([[[1.0, 0.5]]]), rate=1.0, window=3)
    >>> [float((new["a"][..., k] > 0).sum()) for k in (0, 1)]
    [1.0, 0.0]
    """
    a, b, x = params["a"], params["b"], as_array(x, name="x")
    size, channels = a.shape[0], a.shape[2]
    places, won = winners(responses, window=window)
    before = (size - 1) // 2
    padded = jnp.pad(x, ((before, size - 1 - before),) * 2 + ((0, 0),))
    seen = jax.vmap(lambda place: lax.dynamic_slice(padded, (*place, 0), (size, size, channels)))(places)
    stage = Stage(s_window=size)
    strength = stage.inhibition(x)[places[:, 0], places[:, 1], 0]
    weights = jnp.asarray(stage.inhibition_weights[:, :, None, None] / channels, a.dtype)
    gain = rate * won.astype(a.dtype)
    return {"a": a + weights * gain[None, None, None] * jnp.moveaxis(seen, 0, -1), "b": b + gain / 2 * strength}


def learn_neocognitron(
    model: Neocognitron, params: Mapping[str, Any], images: ArrayLike, *, passes: int = 1
) -> dict[str, Any]:
    """Trains a neocognitron without labels, layer by layer and image by image.

    Args:
        model: the network.
        params: its initial parameters.
        images: ``(n, height, width, channels)`` in [0, 1], ink on a background of 0.
        passes: number of passes over all images for each layer.

    Returns:
        Parameters with updated ``a`` and ``b`` of each layer; the dense layer is unchanged.

    Raises:
        ShapeError: images with another number of axes, or no image.
        ValueError: ``passes`` below 1.
        TypeError: images that are not made of numbers, or ``passes`` that is not an integer.

    Source: Fukushima (1980), section 3. There all layers learn simultaneously; layer by layer requires fewer passes.

    >>> model = Neocognitron()
    >>> images = jax.random.uniform(jax.random.key(0), (4, 8, 8, 1))
    >>> params = jax.jit(model.init)(jax.random.key(1), images)["params"]
    >>> learned = learn_neocognitron(model, params, images)
    >>> bool((learned["s1"]["b"] > 0).any()), bool((learned["head"]["kernel"] == params["head"]["kernel"]).all())
    (True, True)
    """
    images = as_array(images, name="images")
    if images.ndim != 4 or not images.shape[0]:
        raise ShapeError(f"images must have the shape (n, height, width, channels), not {images.shape}.")
    if as_int(passes, name="passes") < 1:
        raise ValueError(f"passes={passes} must be at least 1.")
    learned = dict(params)
    for index in range(1, len(model.stages) + 1):
        for _ in range(passes):
            learned[f"s{index}"] = _one_pass(model, index, learned, images)
    return learned


@functools.partial(jax.jit, static_argnums=(0, 1))
def _one_pass(model: Neocognitron, index: int, params: dict[str, Any], images: jax.Array) -> dict[str, jax.Array]:
    """The parameters of one layer after one pass over all images."""
    rate = FIRST_RATE if index == 1 else LATER_RATE
    learning = model.stages[index - 1]
    window = learning.s_window
    if learning.learning_selectivity is not None:
        learning = dataclasses.replace(learning, selectivity=learning.learning_selectivity)
        model = model.clone(stages=(*model.stages[: index - 1], learning, *model.stages[index:]))

    def learn_image(layer: dict[str, jax.Array], image: jax.Array) -> tuple[dict[str, jax.Array], None]:
        found: Any = model.apply({"params": {**params, f"s{index}": layer}}, image, method="features")
        read = image if index == 1 else found[f"c{index - 1}"]
        return reinforce(layer, read, found[f"s{index}"], rate=rate, window=window), None

    return lax.scan(learn_image, params[f"s{index}"], images)[0]
