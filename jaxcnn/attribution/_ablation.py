"""Attributions from the decrease of a score when a part of the input is replaced."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcnn._arrays import ArrayLike, as_array
from jaxcnn._axes import IntPerAxis, int_per_axis, window_per_axis
from jaxcnn._errors import ShapeError
from jaxcnn.attribution._gradients import broadcast
from jaxcnn.attribution._scores import Function, Target, as_batch, score_of

_BATCH = 32  # changed copies of the input in one call of the function


def occlusion(
    f: Function,
    x: ArrayLike,
    *,
    window_shape: tuple[int, ...],
    strides: IntPerAxis,
    target: Target = None,
    baseline: ArrayLike = 0.0,
) -> jax.Array:
    """The decrease of a class's score when a window of the input is hidden.

    At each position, the mean over the windows that contain it of ``f(x) - f(x with the window replaced)``. Windows
    start at ``0, s, 2s, ...``, in all ``ceil((n - k) / s) + 1`` on an axis; the last one is cut off at the border. A
    window covers all channels.

    Args:
        f: as in ``saliency``; it is called on batches of the size of ``x`` under ``vmap``.
        x: ``(n, *spatial, channels)``, floating.
        window_shape: one integer per spatial axis.
        strides: steps between windows, at most the window, so that each position is hidden.
        target: a class, or one for each example; None for the class with the highest score.
        baseline: what replaces the window, such as the mean colour; broadcasts to the shape of ``x``.

    Returns:
        the map ``(n, *spatial)``.

    Raises:
        ShapeError: a window that does not fit ``x``, or a baseline, scores or targets of another shape.
        TypeError: an ``x`` that is not floating, targets that are not integers, or a function of several results.
        ValueError: strides beyond the window, or a target that is no class.

    Source: Zeiler and Fergus (2013), "Visualizing and understanding convolutional networks", section 4.2.

    >>> occlusion(lambda x: x.sum((1, 2, 3)), jnp.ones((1, 1, 3, 1)), window_shape=(1, 2), strides=1)
    Array([[[2., 2., 2.]]], dtype=float32)
    """
    x, window = as_batch(x), window_per_axis(window_shape)
    sizes = x.shape[1:-1]
    if len(window) != len(sizes) or any(k > n for k, n in zip(window, sizes, strict=False)):
        raise ShapeError(f"window_shape={window} does not fit the spatial axes {sizes} of x.")
    steps = int_per_axis(strides, len(window), name="strides")
    if any(s > k for s, k in zip(steps, window, strict=True)):
        raise ValueError(f"strides={strides} beyond window_shape={window} would leave positions that are never hidden.")
    score, hidden = score_of(f, x, target), broadcast(baseline, x, name="baseline")
    covers = [_covers(n, k, s) for n, k, s in zip(sizes, window, steps, strict=True)]
    counts = tuple(len(each) for each in covers)

    def decrease(index: jax.Array) -> jax.Array:
        """The decrease of the score for one window."""
        inside: jax.Array = jnp.ones((1,) * x.ndim, bool)
        for axis, (cover, place) in enumerate(zip(covers, jnp.unravel_index(index, counts), strict=True), 1):
            on_axis = jnp.asarray(cover)[place]
            inside &= lax.expand_dims(on_axis, [other for other in range(x.ndim) if other != axis])
        return whole - score(jnp.where(inside, hidden, x))

    whole = score(x)
    decreases = lax.map(decrease, jnp.arange(np.prod(counts)), batch_size=_BATCH).T.reshape(x.shape[0], *counts)
    for axis, cover in enumerate(covers, 1):  # the mean over the windows that contain a position, axis by axis
        share = jnp.asarray(cover / cover.sum(0), x.dtype)
        decreases = jnp.moveaxis(jnp.tensordot(decreases, share, ((axis,), (0,)), precision="highest"), -1, axis)
    return decreases


def _covers(size: int, window: int, stride: int) -> np.ndarray:
    """Which positions of an axis each window contains."""
    starts = stride * np.arange(-(-(size - window) // stride) + 1)
    places = np.arange(size) - starts[:, None]
    return (places >= 0) & (places < window)


def feature_ablation(
    f: Function,
    x: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    target: Target = None,
    baseline: ArrayLike = 0.0,
) -> jax.Array:
    """The decrease of a class's score when a group of entries of the input is replaced.

    Each entry gets ``f(x) - f(x with its group replaced)``.

    Args:
        f: as in ``saliency``; it is called on batches of the size of ``x`` under ``vmap``.
        x: ``(n, ..., channels)``, floating.
        groups: integers that broadcast to the shape of ``x``, the number of the group of each entry, such as
            superpixels; None makes each entry of an example a group of its own.
        target: a class, or one for each example; None for the class with the highest score.
        baseline: what replaces the group; broadcasts to the shape of ``x``.

    Returns:
        an array of the shape of ``x``.

    Raises:
        ShapeError: an ``x`` without batch axis, or groups, a baseline, scores or targets of another shape.
        TypeError: an ``x`` that is not floating, or groups or targets that are not integers.
        ValueError: a target that is no class.

    Source: captum.attr.FeatureAblation; Zeiler and Fergus (2013), section 4.2, for images.

    >>> feature_ablation(lambda x: x.prod(-1), jnp.array([[2.0, 3.0, 4.0]]), groups=[0, 1, 1])
    Array([[24., 24., 24.]], dtype=float32)
    """
    x = as_batch(x)
    if groups is None:
        numbers = np.arange(np.prod(x.shape[1:])).reshape(1, *x.shape[1:])
    else:
        numbers = np.asarray(groups)
        if not np.issubdtype(numbers.dtype, np.integer):
            raise TypeError(f"expected groups as integers, got {numbers.dtype}.")
    broadcast(numbers, x, name="groups")
    numbers = np.broadcast_to(numbers, x.shape)
    names, places = np.unique(numbers, return_inverse=True)
    group = as_array(places.reshape(x.shape).astype(np.int32), name="groups")
    score, hidden = score_of(f, x, target), broadcast(baseline, x, name="baseline")
    whole = score(x)
    decreases = lax.map(
        lambda index: whole - score(jnp.where(group == index, hidden, x)),
        jnp.arange(len(names), dtype=jnp.int32),
        batch_size=_BATCH,
    )
    return jnp.take_along_axis(decreases.T, group.reshape(x.shape[0], -1), 1).reshape(x.shape)
