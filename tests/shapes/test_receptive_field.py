"""Receptive fields against the derivatives of real networks: an output depends on an input if the gradient is not 0."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxcnn._errors import ShapeError
from jaxcnn.functional import conv, conv_transpose
from jaxcnn.shapes._receptive_field import ReceptiveField, SlidingWindow, positions_seen, receptive_field
from tests.examples import examples


def network(x: jax.Array, layers: list[SlidingWindow], seed: int) -> jax.Array:
    """A random network of the given layers.

    Weights are positive and the nonlinearity is increasing: nothing cancels.
    """
    generator = np.random.default_rng(seed)
    y = x[..., None]
    for layer in layers:
        kernel = generator.uniform(0.5, 1.5, (*layer.window_shape, 1, 1)).astype(np.float32)
        operation = conv_transpose if layer.transposed else conv
        y = operation(y, kernel, strides=layer.strides, padding=layer.padding, kernel_dilation=layer.window_dilation)
        y = jnp.log1p(jnp.exp(0.1 * y))
    return y[..., 0]


def seen_by_gradient(layers: list[SlidingWindow], input_shape: tuple[int, ...], seed: int) -> np.ndarray:
    """``[*output, *input]``: whether the derivative of the output by the input is not 0."""
    x = np.random.default_rng(seed + 1).standard_normal(input_shape).astype(np.float32)
    return np.asarray(jax.jit(jax.jacrev(lambda x: network(x, layers, seed)))(x) != 0)


@st.composite
def stacks(draw: st.DrawFn, *, transposed: bool) -> tuple[list[SlidingWindow], tuple[int, ...]]:
    ndim = draw(st.integers(1, 2))
    layers = [
        SlidingWindow(
            tuple(draw(st.integers(1, 3)) for _ in range(ndim)),
            strides=draw(st.integers(1, 3)),
            padding=draw(st.sampled_from(["VALID", "SAME", "SAME_LOWER", "CAUSAL", 1, ((2, 1),) * ndim])),
            window_dilation=draw(st.integers(1, 2)),
            transposed=transposed and draw(st.booleans()),
        )
        for _ in range(draw(st.integers(1, 3)))
    ]
    return layers, tuple(draw(st.integers(7, 9 if ndim == 2 else 20)) for _ in range(ndim))


@given(stacks(transposed=True), st.integers(0, 1000))
@examples(25)
def test_positions_seen_are_where_the_gradient_is_not_zero(
    stack: tuple[list[SlidingWindow], tuple[int, ...]], seed: int
) -> None:
    layers, input_shape = stack
    try:
        listed = positions_seen(layers, (0,) * len(input_shape), input_shape=input_shape)
    except ShapeError:  # conv refuses it too: a window does not fit, or nothing remains of a transposed layer
        with pytest.raises(ShapeError):
            seen_by_gradient(layers, input_shape, seed)
        return
    assert len(listed) == len(input_shape)
    truth = seen_by_gradient(layers, input_shape, seed)
    for position in itertools.product(*map(range, truth.shape[: len(input_shape)])):
        expected = np.zeros(input_shape, bool)
        expected[np.ix_(*positions_seen(layers, position, input_shape=input_shape))] = True
        np.testing.assert_array_equal(truth[position], expected)


@given(stacks(transposed=False), st.integers(0, 1000))
@examples(25)
def test_the_closed_form_is_the_box_around_the_gradient(
    stack: tuple[list[SlidingWindow], tuple[int, ...]], seed: int
) -> None:
    layers, input_shape = stack
    try:
        field = receptive_field(layers, input_shape=input_shape)
    except ShapeError:
        with pytest.raises(ShapeError):
            seen_by_gradient(layers, input_shape, seed)
        return
    truth = seen_by_gradient(layers, input_shape, seed)
    for position in itertools.product(*map(range, truth.shape[: len(input_shape)])):
        places = np.argwhere(truth[position])
        first, last = np.transpose(field.span(position))
        if np.all(first >= 0) and np.all(last < input_shape):
            np.testing.assert_array_equal((places.min(0), places.max(0)), (first, last))
        else:
            assert np.all(first <= places) and np.all(places <= last)


@pytest.mark.parametrize(("kernel", "pool"), [(3, 2), (5, 2), (7, 3)])
def test_stacked_convolution_and_pool_see_p_plus_k_minus_one(kernel: int, pool: int) -> None:
    field = receptive_field([SlidingWindow((kernel,)), SlidingWindow((pool,), strides=pool)])
    assert field == ReceptiveField(size=(pool + kernel - 1,), jump=(pool,), offset=(0,))


def test_three_layers_of_three_see_seven() -> None:
    """Simonyan and Zisserman (2015), section 2.3: the receptive field of three 3x3 convolutions is 7x7."""
    assert receptive_field([SlidingWindow((3, 3), padding="SAME")] * 3).size == (7, 7)


def test_doubling_dilation_doubles_the_reach() -> None:
    """Yu and Koltun (2016), section 2: 2**(i + 1) - 1 after i layers of size 3 with dilation 1, 2, 4, ..."""
    for count in range(1, 6):
        layers = [SlidingWindow((3,), window_dilation=2**i) for i in range(count)]
        assert receptive_field(layers).size == (2 ** (count + 1) - 1,)


def test_resnet50_sees_483_and_vgg16_sees_212() -> None:
    """Araujo et al. (2019), table of known networks; their ResNet has the stride in the last block of a stage."""
    resnet = [SlidingWindow((7,), strides=2, padding=3), SlidingWindow((3,), strides=2, padding=1)]
    for stage, blocks in enumerate([3, 4, 6, 3]):
        for block in range(blocks):
            strides = 2 if block == blocks - 1 and stage < 3 else 1
            resnet += [SlidingWindow((1,)), SlidingWindow((3,), strides=strides, padding=1), SlidingWindow((1,))]
    field = receptive_field(resnet)
    assert (field.size, field.jump) == ((483,), (32,))
    vgg = []
    for convolutions in (2, 2, 3, 3, 3):
        vgg += [SlidingWindow((3,), padding=1)] * convolutions + [SlidingWindow((2,), strides=2)]
    assert receptive_field(vgg).size == (212,)


def test_branches_join() -> None:
    block = receptive_field([SlidingWindow((3, 3), padding="SAME")] * 2)
    assert receptive_field([], ndim=2).union(block) == block
    shifted = ReceptiveField(size=(3,), jump=(2,), offset=(4,)).union(
        ReceptiveField(size=(2,), jump=(2,), offset=(-1,))
    )
    assert shifted == ReceptiveField(size=(8,), jump=(2,), offset=(-1,))


def test_transposed_outputs_do_not_see_equally_much() -> None:
    up = SlidingWindow((3,), strides=2, transposed=True)
    assert [positions_seen([up], (o,), input_shape=(3,))[0] for o in range(7)] == [
        (0,), (0,), (0, 1), (1,), (1, 2), (2,), (2,),
    ]  # fmt: skip


THREE = SlidingWindow((3,))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: receptive_field([]),
            r"receptive_field: the number of spatial axes is unknown without a layer. Pass ndim=2",
        ),
        (lambda: receptive_field([THREE, SlidingWindow((3, 3))]), r"same number of spatial axes, not \[1, 2\]"),
        (lambda: receptive_field([THREE], ndim=2), r"same number of spatial axes, not \[1, 2\]"),
        (
            lambda: receptive_field([THREE, SlidingWindow((3,), strides=2, padding="SAME")]),
            r"receptive_field: layer 1: the padding 'SAME' of a layer with strides depends on .*Pass input_shape",
        ),
        (
            lambda: receptive_field([SlidingWindow((3,), transposed=True)]),
            r"layer 0 is transposed, and .* positions_seen\(layers, position, input_shape=...\)",
        ),
        (lambda: receptive_field([THREE, THREE], input_shape=(4,)), r"layer 1: .*window of 3 is larger than .* of 2"),
        (lambda: receptive_field([SlidingWindow(3)]), r"receptive_field: window_shape=3 can be read as"),
        (lambda: positions_seen([THREE], (5,), input_shape=(7,)), r"position=\(5,\) is not in the output, .* \(5,\)"),
        (lambda: positions_seen([THREE], (0, 0), input_shape=(7,)), r"position=\(0, 0\) is not in the output"),
        (
            lambda: positions_seen([SlidingWindow((3,), padding=9, transposed=True)], (0,), input_shape=(7,)),
            r"positions_seen: layer 0: padding \(9, 9\) crops all of spatial axis 0 away",
        ),
        (
            lambda: ReceptiveField(size=(3,), jump=(2,), offset=(0,)).union(receptive_field([THREE])),
            r"ReceptiveField.union: the jumps of the branches, \(2,\) and \(1,\), differ",
        ),
    ],
)
def test_mistakes(call: object, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        call()  # type: ignore[operator]
