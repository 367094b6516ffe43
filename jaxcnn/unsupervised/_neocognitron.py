"""How the neocognitron learns: of cells that see the same place the one that answers most becomes better at it."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxcnn._arrays import as_array
from jaxcnn._axes import as_int
from jaxcnn._errors import ShapeError
from jaxcnn.functional import max_pool_with_indices
from jaxcnn.models import Neocognitron, Stage

# q of the paper: how much a winner is reinforced, in the first layer and in those after it.
FIRST_RATE, LATER_RATE = 1.0, 16.0


def winners(answers: jax.Array, *, window: int) -> tuple[jax.Array, jax.Array]:
    """Of each plane of S-cells the cell that is to be reinforced, if there is one.

    A cell is a candidate where no cell of any plane in the window around it answers more. Of the candidates of a
    plane the one that answers most wins. So a feature is learned by one plane only, and planes learn different ones.

    Args:
        answers: ``(height, width, planes)``.
        window: side of the neighbourhood in which cells compete, which the paper calls an S-column.

    Returns:
        The winners' positions ``(planes, 2)``, and whether there is one ``(planes,)``.

    Source: Fukushima (1980), section 3.

    >>> answers = jnp.zeros((3, 3, 2)).at[0, 0].set(jnp.array([2.0, 1.0])).at[2, 2, 1].set(0.5)
    >>> [value.tolist() for value in winners(answers, window=1)]
    [[[0, 0], [2, 2]], [True, True]]
    >>> [value.tolist() for value in winners(answers, window=5)]
    [[[0, 0], [0, 0]], [True, False]]
    """
    height, width, planes = answers.shape
    # Places are compared, not values: a value that XLA computes twice may be rounded differently each time.
    strongest = answers.max(-1, keepdims=True)
    _, best_around = max_pool_with_indices(strongest, (window, window), strides=1, padding="SAME")
    cells = jnp.arange(height * width).reshape(height, width, 1)
    wins = (best_around == cells) & (answers.argmax(-1, keepdims=True) == jnp.arange(planes)[None, None])
    candidates = jnp.where(wins & (answers > 0), answers, 0).reshape(height * width, planes)
    best = candidates.argmax(0)
    return jnp.stack([best // width, best % width], -1), candidates.max(0) > 0


def reinforce(
    params: Mapping[str, jax.Array], x: jax.Array, answers: jax.Array, *, rate: float, window: int
) -> dict[str, jax.Array]:
    """One step of learning of a layer of S-cells, from one image.

    For each winner, at ``n`` in plane ``k``: ``a[v, :, k] += q c[v] x[n + v]`` and ``b[k] += q / 2 v(n)``, with the
    weights ``c`` of its inhibition. From zero on, the excitation by what was seen is then ``q v**2`` and the inhibition
    ``2r / (1 + r) * q / 2 * v**2``, smaller by ``r / (1 + r)``: the half of ``b`` answers the two of the inhibition.
    So what was seen outweighs the inhibition, and what is less like it than the cosine ``r / (1 + r)`` does not.

    Args:
        params: ``a`` and ``b`` of the layer.
        x: what the layer reads, ``(height, width, channels)``.
        answers: of the layer to it, ``(height, width, planes)``.
        rate: ``q``.
        window: side of the neighbourhood in which cells compete.

    Source: Fukushima (1980), equations 7 and 8.

    >>> params = {"a": jnp.zeros((3, 3, 1, 2)), "b": jnp.zeros(2)}
    >>> x = jnp.zeros((4, 4, 1)).at[1, 1].set(1.0)
    >>> new = reinforce(params, x, x * jnp.array([[[1.0, 0.5]]]), rate=1.0, window=3)
    >>> [float((new["a"][..., k] > 0).sum()) for k in (0, 1)]
    [1.0, 0.0]
    """
    a, b = params["a"], params["b"]
    size, channels = a.shape[0], a.shape[2]
    places, won = winners(answers, window=window)
    before = (size - 1) // 2
    padded = jnp.pad(x, ((before, size - 1 - before),) * 2 + ((0, 0),))
    seen = jax.vmap(lambda place: lax.dynamic_slice(padded, (*place, 0), (size, size, channels)))(places)
    stage = Stage(s_window=size)
    strength = stage.inhibition(x)[places[:, 0], places[:, 1], 0]
    weights = jnp.asarray(stage.inhibition_weights[:, :, None, None] / channels, a.dtype)
    gain = rate * won.astype(a.dtype)
    return {"a": a + weights * gain[None, None, None] * jnp.moveaxis(seen, 0, -1), "b": b + gain / 2 * strength}


def learn_neocognitron(
    model: Neocognitron, params: Mapping[str, Any], images: jax.Array, *, passes: int = 1
) -> dict[str, Any]:
    """Lets a neocognitron organize itself on images, without labels: every layer in turn, every image in turn.

    Args:
        model: the network.
        params: its parameters, as it was initialized.
        images: ``(n, height, width, channels)`` in [0, 1], ink on a background of 0.
        passes: how often each layer sees all images.

    Returns:
        Parameters with other ``a`` and ``b`` in each layer; the dense layer is as it was.

    Raises:
        ShapeError: images without an axis of examples, or no pass.

    Source: Fukushima (1980), section 3. There all layers learn at once; in turn they settle in fewer presentations.

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
        raise ShapeError(f"passes={passes} must be at least 1.")
    learned = dict(params)
    for index in range(1, len(model.stages) + 1):
        for _ in range(passes):
            learned[f"s{index}"] = _one_pass(model, index, learned, images)
    return learned


@functools.partial(jax.jit, static_argnums=(0, 1))
def _one_pass(model: Neocognitron, index: int, params: dict[str, Any], images: jax.Array) -> dict[str, jax.Array]:
    """The parameters of one layer after all images."""
    rate = FIRST_RATE if index == 1 else LATER_RATE
    learning = model.stages[index - 1]
    window = learning.s_window
    if learning.learning_selectivity is not None:
        learning = dataclasses.replace(learning, selectivity=learning.learning_selectivity)
        model = model.clone(stages=(*model.stages[: index - 1], learning, *model.stages[index:]))

    def see(layer: dict[str, jax.Array], image: jax.Array) -> tuple[dict[str, jax.Array], None]:
        found: Any = model.apply({"params": {**params, f"s{index}": layer}}, image, method="features")
        read = image if index == 1 else found[f"c{index - 1}"]
        return reinforce(layer, read, found[f"s{index}"], rate=rate, window=window), None

    return lax.scan(see, params[f"s{index}"], images)[0]
