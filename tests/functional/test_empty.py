"""Empty arrays: the shapes equal those of XLA, or an error names the empty axis."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from jaxcnn import ShapeError
from jaxcnn.functional import conv, depthwise_conv, filters


def shapes_of(function: Any, *shapes: tuple[int, ...]) -> Any:
    """The shapes of the result and of the gradients, computed without ``jit``."""
    arrays = [jnp.zeros(shape) for shape in shapes]
    grads = jax.grad(lambda *arrays: function(*arrays).sum(), tuple(range(len(arrays))))(*arrays)
    return function(*arrays).shape, [grad.shape for grad in grads]


@pytest.mark.parametrize("window", [(1, 1), (3, 3), (2, 2, 2)])
def test_empty_channels_give_the_shapes_of_xla(window: tuple[int, ...]) -> None:
    sizes = (6,) * len(window)
    for reads, writes in ((0, 4), (3, 0)):
        x, kernel = (2, *sizes, reads), (*window, reads, writes)
        assert shapes_of(functools.partial(conv, strides=2), x, kernel) == (
            (2, *(3 for _ in window), writes),
            [x, kernel],
        )


@pytest.mark.parametrize("axes", [(None, 0), (0, 0), (0, None)])
def test_a_map_over_no_examples_gives_the_shapes_of_xla(axes: tuple[int | None, int | None]) -> None:
    x, kernel = (
        ((0, *shape) if axis == 0 else shape) for shape, axis in zip(((2, 6, 6, 3), (3, 3, 3, 4)), axes, strict=True)
    )
    assert shapes_of(jax.vmap(conv, axes), x, kernel) == ((0, 2, 6, 6, 4), [x, kernel])
    kernel_grads = jax.vmap(jax.grad(lambda k, x: conv(x, k).sum()), axes[::-1])(jnp.zeros(kernel), jnp.zeros(x))
    assert kernel_grads.shape == (0, 3, 3, 3, 4)


def test_a_filter_for_each_channel_of_none_is_refused() -> None:
    empty = jnp.zeros((2, 6, 6, 0))
    with pytest.raises(
        ShapeError, match=r"depthwise_conv: a filter for each channel requires channels.*\(2, 6, 6, 0\)"
    ):
        depthwise_conv(empty, jnp.zeros((3, 3, 1, 0)))
    with pytest.raises(ShapeError, match=r"apply_filter: a group for each channel requires channels.*\(2, 6, 6, 0\)"):
        filters.apply_filter(empty, filters.sobel())
