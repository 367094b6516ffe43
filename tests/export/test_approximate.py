"""Separable convolutions and pruned filters, compared with singular value decompositions and smaller models."""

import dataclasses
from collections.abc import Iterator
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import ShapeError, summary
from jaxcnn import functional as F
from jaxcnn.export import PortableProgram, portable, prune_filters, separate
from jaxcnn.export._approximate import Scheme, _Basis
from jaxcnn.export._factors import moments_of
from jaxcnn.export._refit import RIDGE
from jaxcnn.export._tucker import tucker2
from tests.export.networks import difference, network
from tests.export.networks import program as program_of


@pytest.fixture(scope="module", autouse=True)
def strict_dtypes() -> Iterator[None]:
    """Restores standard promotion, with which the programs were traced."""
    yield


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.gate
def test_multiply_adds_are_those_of_the_summary() -> None:
    for name in ("lenet5", "unet"):
        chosen = network(name)
        assert program_of(name).multiply_adds == summary(chosen.model, (1, *chosen.shape)).macs


def test_a_kernel_of_low_rank_is_separated_exactly() -> None:
    first, second, bias = normal(3, 1, 4, 2), normal(1, 5, 2, 6, seed=1), normal(6, seed=2)
    kernel = np.einsum("aik,bko->abio", first[:, 0], second[0]).astype(np.float32)
    options = {"strides": (2, 1), "padding": ((1, 0), (2, 3)), "kernel_dilation": (2, 1)}
    x = normal(3, 9, 8, 4, seed=3)
    program = portable(lambda x: F.conv(x, kernel, bias=bias, **options), (None, 9, 8, 4))
    smaller = separate(program, x, budget=0.5)
    assert smaller.counts == {"conv_general_dilated": 2} and smaller.multiply_adds <= program.multiply_adds / 2
    assert difference(program(x), smaller(x)) < 1e-4


def test_white_inputs_give_the_truncated_decomposition() -> None:
    kernel, x = normal(3, 3, 4, 6), normal(400, 3, 3, 4, seed=1)
    program = portable(lambda x: F.conv(x, kernel, padding="VALID"), (None, 3, 3, 4))
    smaller = separate(program, x, budget=0.6)
    rank = smaller.operations[0].outputs[0].shape[-1]
    values = np.linalg.svd(kernel.transpose(0, 2, 1, 3).reshape(12, 18), compute_uv=False)
    expected = np.sqrt((values[rank:] ** 2).sum() / (values**2).sum())
    y = np.asarray(program(x))
    found = np.linalg.norm(y - np.asarray(smaller(x))) / np.linalg.norm(y)
    assert 1 <= rank < 12 and abs(found - expected) < 0.1 * expected


def test_the_data_decide_what_is_left_out() -> None:
    """Channels that are nearly always 0 do not have to be accurate."""
    kernel, scale = normal(3, 3, 8, 8), np.array([1, 1, 1, 0.01, 0.01, 0.01, 0.01, 0.01], np.float32)
    x = normal(16, 6, 6, 8, seed=1) * scale
    program = portable(lambda x: F.conv(x, kernel), (None, 6, 6, 8))
    informed, blind = separate(program, x, budget=0.5), separate(program, normal(16, 6, 6, 8, seed=2), budget=0.5)
    assert difference(program(x), informed(x)) < 0.7 * difference(program(x), blind(x))


def test_a_kernel_of_few_channels_is_factorised_exactly() -> None:
    """As three convolutions, or as two where the rank of one side equals its number of channels."""
    options = {"strides": (2, 1), "padding": ((1, 0), (2, 3)), "kernel_dilation": (2, 1)}
    x, bias = normal(3, 9, 8, 6, seed=3), normal(8, seed=4)
    for inner, outer, count in ((2, 3, 3), (6, 3, 2), (2, 8, 2)):
        parts = normal(6, inner), normal(3, 3, inner, outer, seed=1), normal(outer, 8, seed=2)
        kernel = np.einsum("ir,abrs,so->abio", *parts).astype(np.float32)
        program = portable(lambda x, kernel=kernel: F.conv(x, kernel, bias=bias, **options), (None, 9, 8, 6))
        smaller = separate(program, x, budget=0.7, scheme="tucker")
        assert (
            smaller.counts == {"conv_general_dilated": count} and smaller.multiply_adds <= 0.7 * program.multiply_adds
        )
        assert difference(program(x), smaller(x)) < 1e-4


@pytest.mark.parametrize("scheme", get_args(Scheme))
def test_a_1x1_kernel_of_low_rank_is_a_product_of_two(scheme: Scheme) -> None:
    """Strides and padding go to the first of the two products."""
    options = {"strides": (2, 3), "padding": ((1, 0), (2, 3))}
    kernel, x = (normal(8, 2) @ normal(2, 6, seed=1))[None, None], normal(3, 9, 8, 8, seed=3)
    program = portable(lambda x: F.conv(x, kernel, bias=normal(6, seed=2), **options), (None, 9, 8, 8))
    smaller = separate(program, x, budget=0.6, scheme=scheme)
    assert [each.inputs[1].shape for each in smaller.operations] == [(1, 1, 8, 2), (1, 1, 2, 6)]
    assert difference(program(x), smaller(x)) < 1e-4


def test_a_product_of_full_rank_is_the_layer() -> None:
    for inner, outer in ((4, 9), (9, 4)):
        kernel, bias, x = normal(1, 1, inner, outer), normal(outer, seed=1), normal(2, 5, 5, inner, seed=2)
        program = portable(lambda x, k=kernel, b=bias: F.conv(x, k, bias=b), (None, 5, 5, inner))
        basis = _Basis.of(program.operations[0], moments_of(program, program.operations, jnp.asarray(x))[0])
        whole = dataclasses.replace(program, operations=tuple(basis.pair(4)))
        assert not basis.saves(4) and whole.counts == {"conv_general_dilated": 2}
        assert difference(program(x), whole(x)) < 1e-4


@pytest.mark.parametrize("scheme", get_args(Scheme))
def test_a_product_has_the_least_error_of_the_outputs(scheme: Scheme) -> None:
    """By Eckart and Young, the truncated decomposition of the outputs is the closest result of its rank.

    Strides skip positions whose inputs are different; those positions have no influence.
    """
    kernel, x = normal(1, 1, 12, 10), normal(64, 6, 6, 12, seed=1) @ normal(12, 12, seed=2)
    x[:, 1::2], x[:, :, 1::2] = 30 * x[:, 1::2, :, ::-1], 30 * x[:, :, 1::2, ::-1]
    program = portable(lambda x: F.conv(x, kernel, strides=2, padding="VALID"), (None, 6, 6, 12))
    smaller = separate(program, x, budget=0.6, scheme=scheme)
    outputs = np.asarray(program(x), np.float64).reshape(-1, 10)
    left, values, right = np.linalg.svd(outputs, full_matrices=False)
    assert smaller.operations[0].outputs[0].shape[-1] == 3  # 3 * (12 + 10) of 12 * 10 products
    best = (left[:, :3] * values[:3] @ right[:3]).reshape(64, 3, 3, 10)
    assert difference(best, smaller(x)) < 1e-3


def test_a_window_of_one_column_keeps_its_rows() -> None:
    """A 1x1 convolution follows a window of one column, and precedes a window of one row."""
    for window, shapes in (((3, 1), [(3, 1, 8, 2), (1, 1, 2, 6)]), ((1, 3), [(1, 1, 8, 2), (1, 3, 2, 6)])):
        first, second = normal(shapes[0][0], 1, 8, 2), normal(1, shapes[1][1], 2, 6, seed=1)
        kernel = np.einsum("aik,bko->abio", first[:, 0], second[0]).astype(np.float32)
        program = portable(lambda x, k=kernel: F.conv(x, k, strides=2, padding=1), (None, 9, 8, 8))
        x = normal(3, 9, 8, 8, seed=3)
        smaller = separate(program, x, budget=0.55)
        assert window == kernel.shape[:2] and difference(program(x), smaller(x)) < 1e-4
        assert [each.inputs[1].shape for each in smaller.operations] == shapes


def test_the_1x1_layer_with_the_least_energy_in_its_last_directions_loses_them() -> None:
    """Two layers have the same multiply-adds; no more ranks are removed than the budget requires."""
    flat, steep = normal(1, 1, 16, 16), normal(1, 1, 16, 16, seed=1)
    steep = steep * 0.5 ** np.arange(16, dtype=np.float32)
    program = portable(lambda x: F.conv(jax.nn.relu(F.conv(x, flat)), steep), (None, 4, 4, 16))
    smaller = separate(program, normal(64, 4, 4, 16, seed=2), budget=0.7)
    assert smaller.operations[0].inputs[1].shape == (1, 1, 16, 16)  # the layer with the flat spectrum
    share = smaller.multiply_adds / program.multiply_adds
    assert 0.7 - 32 / 512 < share <= 0.7


@pytest.mark.parametrize("scheme", get_args(Scheme))
def test_mobilenets_have_half_of_their_multiply_adds(scheme: Scheme) -> None:
    program = program_of("mobilenet_v2")
    x = normal(32, *program.input.shape[1:])
    errors = []
    for budget in (0.8, 0.5):
        smaller = separate(program, x, budget=budget, scheme=scheme)
        assert smaller.multiply_adds <= budget * program.multiply_adds
        errors.append(difference(program(x), smaller(x)))
    assert errors[0] < errors[1]


def test_later_layers_make_up_for_the_errors_of_earlier_ones() -> None:
    """The last factor is the ridge regression of the original outputs on the inputs of the factor, by NumPy."""
    first, second, bias = normal(1, 1, 12, 12), normal(1, 1, 12, 10, seed=1), normal(10, seed=2)
    x = normal(64, 4, 4, 12, seed=3)
    program = portable(lambda x: F.conv(jax.nn.relu(F.conv(x, first)), second, bias=bias), (None, 4, 4, 12))
    smaller = separate(program, x, budget=0.6)
    *before, last = smaller.operations
    middle = dataclasses.replace(smaller, operations=tuple(before), results=(last.inputs[0],))
    rank = last.inputs[0].shape[-1]
    read = np.asarray(middle(x), np.float64).reshape(-1, rank)
    wanted = np.asarray(program(x), np.float64).reshape(-1, 10)
    kernel, offset = (np.asarray(value.array, np.float64) for value in last.inputs[1:])
    blind = _Basis.of(program.operations[-1], _moments_of_last(program, x)).right[:rank]
    centred = read - read.mean(0)
    moments = centred.T @ centred / len(read)
    ridge = RIDGE * np.trace(moments) / rank
    missed = wanted - bias - read @ blind
    step = np.linalg.solve(moments + ridge * np.eye(rank), centred.T @ (missed - missed.mean(0)) / len(read))
    np.testing.assert_allclose(kernel[0, 0], blind + step, atol=1e-3)
    np.testing.assert_allclose(offset, bias + missed.mean(0) - read.mean(0) @ step, atol=1e-3)
    found = np.asarray(smaller(x), np.float64).reshape(-1, 10)
    assert np.linalg.norm(wanted - found) < 0.98 * np.linalg.norm(wanted - bias - read @ blind)


def _moments_of_last(program: PortableProgram, x: np.ndarray) -> np.ndarray:
    return moments_of(program, program.operations[-1:], jnp.asarray(x))[0]


def test_programs_of_a_fixed_number_of_images_are_fitted_alike() -> None:
    """Images are split into groups of the program's batch size, here two; a part of it depends on no image."""
    first, second, x = normal(1, 1, 12, 12), normal(1, 1, 12, 10, seed=1), normal(64, 4, 4, 12, seed=3)

    def network(x: jax.Array) -> jax.Array:
        ramp = jax.lax.broadcasted_iota(jnp.float32, x.shape, 3)
        return F.conv(jax.nn.relu(F.conv(x, first)) + 0.1 * ramp, second)

    many, two = (portable(network, (rows, 4, 4, 12)) for rows in (None, 2))
    smaller = [separate(program, x, budget=0.6) for program in (many, two)]
    assert difference(smaller[0](x[:2]), smaller[1](x[:2])) < 1e-3


def test_the_loss_is_that_of_tensorly() -> None:
    """The figures are those of tensorly 0.10.0: ``partial_tucker(kernel, ranks, modes=[2, 3], n_iter_max=200)``."""
    parts = [np.random.default_rng(seed).normal(size=size) for seed, size in ((1, (3, 8)), (2, (3, 6)))]
    kernel = np.random.default_rng(0).normal(size=(3, 3, 8, 6)) + 3 * np.einsum("ai,bo->abio", *parts)
    for ranks, expected in (((5, 3), 0.37774960158509696), ((2, 4), 0.5268275731170071)):
        u, core, v = tucker2(kernel, *ranks)
        lost = np.linalg.norm(kernel - np.einsum("ir,abrs,os->abio", u, core, v)) / np.linalg.norm(kernel)
        assert abs(lost - expected) < 1e-6


def test_the_ranks_are_the_largest_within_the_budget() -> None:
    """All layers lose the same share of energy; the next smaller share would exceed the budget."""
    kernels, x = [normal(3, 3, 8, 8), normal(3, 3, 8, 12, seed=1)], normal(200, 6, 6, 8, seed=2)
    program = portable(lambda x: F.conv(F.conv(x, kernels[0]), kernels[1]), (None, 6, 6, 8))
    smaller = separate(program, x, budget=0.5, scheme="tucker")
    assert 0.4 < smaller.multiply_adds / program.multiply_adds <= 0.5
    assert difference(program(x), smaller(x)) < difference(
        program(x), separate(program, x, budget=0.2, scheme="tucker")(x)
    )


def test_pruned_filters_are_the_smallest() -> None:
    first, second, third = normal(3, 3, 3, 8), normal(3, 3, 8, 6, seed=1), normal(6, 5, seed=2)
    first[..., [1, 4, 6]] *= 1e-6  # the outputs of these filters are close to zero
    bias = np.where(np.isin(np.arange(8), [1, 4, 6]), 0, 0.3).astype(np.float32)

    def network(x: jax.Array) -> jax.Array:
        y = F.max_pool(jax.nn.relu(F.conv(x, first, bias=bias)), (2, 2), strides=2)
        return F.global_avg_pool(jax.nn.relu(F.conv(y, second))) @ third

    x = normal(2, 8, 8, 3, seed=3)
    program = portable(network, (None, 8, 8, 3))
    smaller = prune_filters(program, budget=5 / 8 + 0.01)
    assert [each.outputs[0].shape[-1] for each in smaller.operations[:3]] == [5, 5, 5]
    assert difference(program(x), smaller(x)) < 1e-4
    with pytest.raises(
        ValueError, match=r"prune_filters: budget=0.001 cannot be reached: with one filter in each layer"
    ):
        prune_filters(program, budget=0.001)


def test_filters_of_zeros_are_removed_first() -> None:
    first, second, third = normal(3, 3, 3, 8), np.zeros((3, 3, 8, 8), np.float32), normal(3, 3, 8, 4, seed=2)
    program = portable(lambda x: F.conv(jnp.tanh(F.conv(jnp.tanh(F.conv(x, first)), second)), third), (None, 6, 6, 3))
    smaller = prune_filters(program, budget=0.7)
    widths = [each.outputs[0].shape[-1] for each in smaller.operations if len(each.inputs) > 1]
    assert widths[0] == 8 and 1 < widths[1] < 8


def test_filters_before_a_maximum_over_channels_stay() -> None:
    first, second = normal(3, 3, 3, 8), normal(3, 3, 4, 6, seed=1)

    def maxout(x: jax.Array) -> jax.Array:
        return jax.lax.reduce_window(x, -np.inf, jax.lax.max, (1, 1, 1, 2), (1, 1, 1, 2), "VALID")

    program = portable(lambda x: F.conv(maxout(F.conv(x, first)), second), (None, 6, 6, 3))
    with pytest.raises(ValueError, match="with one filter in each layer that may lose filters the program still has 1"):
        prune_filters(program, budget=0.7)


def test_a_program_without_candidates() -> None:
    nothing, dense = portable(lambda x: 2 * x, (None, 3)), portable(lambda x: x @ normal(3, 2), (None, 3))
    for scheme in get_args(Scheme):
        assert separate(nothing, normal(2, 3), budget=0.5, scheme=scheme).counts == {"mul": 1}
        with pytest.raises(ValueError, match=r"with ranks of 1 the program still has 1.000 of its multiply-adds"):
            separate(dense, normal(2, 3), budget=0.5, scheme=scheme)


def test_programs_can_be_trained_further() -> None:
    kernel, bias, head = normal(3, 3, 4, 8), normal(8, seed=1), normal(8, 2, seed=2)
    x = normal(2, 5, 5, 4, seed=3)
    program = portable(lambda x: F.conv(x, kernel, bias=bias).mean((1, 2)) @ head, x.shape)
    program = separate(program, x, budget=0.5)
    parameters = program.parameters
    assert sorted(parameters) == [
        "conv_general_dilated/1",
        "conv_general_dilated/1_",
        "conv_general_dilated/2",
        "dot_general/1",
    ]
    np.testing.assert_allclose(program.apply(parameters, x), program(x), rtol=1e-5, atol=1e-5)
    loss = jax.jit(jax.value_and_grad(lambda p: jnp.square(program.apply(p, x)).mean()))
    before, slopes = loss(parameters)
    moved = {name: value - 1e-3 * slopes[name] for name, value in parameters.items()}
    assert all(np.abs(slope).max() > 0 for slope in slopes.values()) and loss(moved)[0] < before
    with pytest.raises(ValueError, match="expected the parameters conv_general_dilated/1, conv_general_dilated/1_"):
        program.apply({}, x)
    dynamic = portable(lambda x: x @ head, (None, 8))
    with pytest.raises(ValueError, match="to train it, trace it for a number of examples"):
        dynamic.apply(dynamic.parameters, normal(2, 8))


def test_refused() -> None:
    program, x = portable(lambda x: F.conv(x, normal(3, 3, 2, 2)), (None, 4, 4, 2)), normal(1, 4, 4, 2)
    for budget in (0, 1.5):
        with pytest.raises(ValueError, match=f"separate: budget={budget} must be above 0 and at most 1"):
            separate(program, x, budget=budget)
    for scheme in get_args(Scheme):
        with pytest.raises(ValueError, match=r"separate: budget=0.01 cannot be reached: with ranks of 1 the program"):
            separate(program, x, budget=0.01, scheme=scheme)
    with pytest.raises(ValueError, match="separate: scheme='cp'"):
        separate(program, x, budget=0.5, scheme="cp")  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match=r"separate: expected images of the shape \(n, 4, 4, 2\)"):
        separate(program, x[:, :2], budget=0.5)
