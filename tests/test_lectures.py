"""Worked examples of two courses.

Sources: the CS231n notes on convolutional networks; Goodfellow, Bengio and Courville, Deep Learning, chapter 9.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxcnn.nn
from jaxcnn import functional as F
from jaxcnn import shapes


def random(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


# Sizes


@pytest.mark.gate
@pytest.mark.parametrize(("strides", "positions"), [(1, 5), (2, 3)])
def test_7x7_input_with_a_3x3_kernel_and_strides_1_and_2(strides: int, positions: int) -> None:
    y = F.conv(random(7, 7, 1), random(3, 3, 1, 1, seed=1), strides=strides, padding="VALID")
    assert y.shape == (positions, positions, 1)
    assert (7 - 3) % strides == 0 and (7 - 3) // strides + 1 == positions


@pytest.mark.gate
def test_7x7_input_with_a_3x3_kernel_and_stride_3_does_not_fit() -> None:
    """(7 - 3) / 3 + 1 is 2.33: there are two positions, and the last row and column are never read."""
    x, kernel = random(7, 7, 1), random(3, 3, 1, 1, seed=1)

    def call(x: jax.Array) -> jax.Array:
        return F.conv(x, kernel, strides=3, padding="VALID")

    assert call(x).shape == (2, 2, 1)
    gradient = jax.grad(lambda x: jnp.sum(call(x)))(x)[..., 0]
    assert np.all(gradient[:6, :6] != 0)
    assert np.all(gradient[6] == 0) and np.all(gradient[:, 6] == 0)
    assert F.conv(x, kernel, strides=3, padding=1).shape == (3, 3, 1)  # with padding by one zero it fits


@pytest.mark.gate
@pytest.mark.parametrize("size", [3, 5, 7])
def test_padding_with_half_of_the_kernel_keeps_the_size(size: int) -> None:
    x, kernel = random(7, 7, 1), random(size, size, 1, 1, seed=1)
    padded = F.conv(x, kernel, padding=(size - 1) // 2)
    assert padded.shape == (7, 7, 1)
    np.testing.assert_array_equal(padded, F.conv(x, kernel, padding="SAME"))


@pytest.mark.gate
def test_32_shrinks_to_28_shrinks_to_24() -> None:
    x = random(32, 32, 3)
    first = F.conv(x, random(5, 5, 3, 6, seed=1), padding="VALID")
    second = F.conv(jax.nn.relu(first), random(5, 5, 6, 10, seed=2), padding="VALID")
    assert (first.shape, second.shape) == ((28, 28, 6), (24, 24, 10))


@pytest.mark.gate
def test_six_5x5x3_filters_make_28x28x6_of_32x32x3() -> None:
    """Each filter produces one 28x28 map; the maps are stacked."""
    x, kernel = random(32, 32, 3), random(5, 5, 3, 6, seed=1)
    stacked = F.conv(x, kernel, padding="VALID")
    assert stacked.shape == (28, 28, 6)
    for index in range(6):
        alone = F.conv(x, kernel[..., index : index + 1], padding="VALID")
        np.testing.assert_allclose(stacked[..., index], alone[..., 0], rtol=1e-4, atol=1e-4)
    one_number = jnp.sum(x[3:8, 4:9] * kernel[..., 2])  # a 75-dimensional dot product
    np.testing.assert_allclose(stacked[3, 4, 2], one_number, rtol=1e-4)


@pytest.mark.gate
def test_a_5x5x3_filter_has_76_parameters_and_ten_have_760() -> None:
    assert shapes.conv_counts((32, 32, 3), 1, (5, 5)).parameters == 76
    ten = shapes.conv_counts((32, 32, 3), 10, (5, 5), padding=2)
    assert (ten.parameters, ten.output_shape) == (760, (32, 32, 10))
    variables = jaxcnn.nn.Conv(10, (5, 5), padding=2).init(jax.random.key(0), random(1, 32, 32, 3))
    assert sum(leaf.size for leaf in jax.tree.leaves(variables)) == 760


@pytest.mark.gate
def test_2x2_grows_to_5x5_by_a_3x3_transposed_convolution_of_stride_2() -> None:
    """Each input entry adds the scaled kernel to the output."""
    x, kernel = random(2, 2, 1), random(3, 3, 1, 1, seed=1)
    expected = np.zeros((5, 5), np.float32)
    for row in range(2):
        for column in range(2):
            expected[2 * row : 2 * row + 3, 2 * column : 2 * column + 3] += x[row, column, 0] * kernel[..., 0, 0]
    y = F.conv_transpose(x, kernel, strides=2, padding="VALID")
    assert y.shape == (5, 5, 1)
    np.testing.assert_allclose(y[..., 0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.gate
def test_dilation_2_sees_5x5_with_9_weights() -> None:
    kernel = random(3, 3, 1, 1)
    seen = jax.grad(lambda x: F.conv(x, kernel, padding="VALID", kernel_dilation=2)[0, 0, 0])(random(5, 5, 1))[..., 0]
    np.testing.assert_allclose(seen[::2, ::2], kernel[..., 0, 0], rtol=1e-6)
    assert int(jnp.sum(seen != 0)) == 9 == kernel.size
    assert shapes.receptive_field([shapes.SlidingWindow((3, 3), window_dilation=2)]).size == (5, 5)


@pytest.mark.gate
@pytest.mark.parametrize(("kernel_size", "pool"), [(5, 2), (3, 3)])
def test_a_pool_over_a_convolution_sees_p_plus_k_minus_1(kernel_size: int, pool: int) -> None:
    kernel = jnp.abs(random(kernel_size, 1, 1)) + 0.1

    def stack(x: jax.Array) -> jax.Array:
        return F.avg_pool(F.conv(x, kernel, padding="VALID"), (pool,), strides=pool)[0, 0]

    seen = jax.grad(stack)(random(16, 1))[:, 0] != 0
    assert int(jnp.sum(seen)) == pool + kernel_size - 1
    layers = [shapes.SlidingWindow((kernel_size,)), shapes.SlidingWindow((pool,), strides=pool)]
    assert shapes.receptive_field(layers).size == (pool + kernel_size - 1,)


# Properties


@pytest.mark.gate
def test_convolution_associates_and_commutes() -> None:
    """(F * G) * H == F * (G * H), and F * G == G * F."""
    f, g, h = random(6, 7), random(3, 2, seed=1), random(2, 4, seed=2)
    left = F.convolve(F.convolve(f, g), h)
    assert left.shape == (9, 11)
    np.testing.assert_allclose(left, F.convolve(f, F.convolve(g, h)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(F.convolve(f, g), F.convolve(g, f), rtol=1e-4, atol=1e-5)


@pytest.mark.gate
def test_two_flipped_layers_are_one_layer_with_the_convolved_kernel() -> None:
    """The same law for layers: flipped kernels associate; kernels that are not flipped (correlations) do not."""
    x, g, h = random(6, 7), random(3, 2, seed=1), random(2, 4, seed=2)

    def layer(x: jax.Array, kernel: jax.Array, flip: bool) -> jax.Array:
        return F.conv(x[..., None], kernel[..., None, None], padding="FULL", flip_kernel=flip)[..., 0]

    twice = layer(layer(x, g, True), h, True)
    np.testing.assert_allclose(twice, layer(x, layer(g, h, True), True), rtol=1e-4, atol=1e-5)
    correlated = layer(layer(x, g, False), h, False)
    assert float(jnp.max(jnp.abs(correlated - layer(x, layer(g, h, False), False)))) > 0.1


@pytest.mark.gate
def test_convolution_is_equivariant_to_translation() -> None:
    x, kernel = random(8, 9, 2), random(3, 3, 2, 4, seed=1)

    def call(x: jax.Array, strides: int = 1) -> jax.Array:
        return F.conv(x, kernel, strides=strides, padding_mode="circular")

    moved = jnp.roll(x, (2, 3), (0, 1))
    np.testing.assert_allclose(call(moved), jnp.roll(call(x), (2, 3), (0, 1)), rtol=1e-4, atol=1e-5)
    by_stride = jnp.roll(x[:, :8], (2, 4), (0, 1))  # a strided one is equivariant only to translations by its stride
    np.testing.assert_allclose(call(by_stride, 2), jnp.roll(call(x[:, :8], 2), (1, 2), (0, 1)), rtol=1e-4, atol=1e-5)


@pytest.mark.gate
def test_a_dense_layer_and_a_local_one_are_not_equivariant() -> None:
    x, kernel = random(8, 1), random(8, 3, 1, 1, seed=1)

    def call(x: jax.Array) -> jax.Array:
        return F.local_conv(x, kernel, padding_mode="circular")

    assert float(jnp.max(jnp.abs(call(jnp.roll(x, 1, 0)) - jnp.roll(call(x), 1, 0)))) > 0.1


@pytest.mark.gate
def test_max_pooling_is_nearly_invariant_to_small_shifts() -> None:
    """Deep Learning, figure 9.8: every input changes, and half of the pooled values stay the same."""
    detected, shifted = jnp.array([0.1, 1.0, 0.2, 0.1]), jnp.array([0.3, 0.1, 1.0, 0.2])
    pooled = [F.max_pool(row[:, None], (3,), strides=1, padding="SAME")[:, 0] for row in (detected, shifted)]
    np.testing.assert_allclose(pooled[0], [1.0, 1.0, 1.0, 0.2])
    np.testing.assert_allclose(pooled[1], [0.3, 1.0, 1.0, 1.0])
    assert np.all(detected != shifted) and int(jnp.sum(pooled[0] == pooled[1])) == 2


@pytest.mark.gate
@pytest.mark.parametrize("window", [2, 5, 9])
def test_how_many_maxima_survive_a_shift_by_one(window: int) -> None:
    """The maximum of ``k`` random values survives if it is not one of the two at the ends: ``(k - 1) / (k + 1)``."""
    x = random(20_000, 1)
    pooled = F.max_pool(x, (window,), strides=1)
    survived = float(jnp.mean(pooled[1:] == pooled[:-1]))
    assert abs(survived - (window - 1) / (window + 1)) < 0.02


@pytest.mark.gate
def test_four_quadrants_are_the_2x2_level_of_spatial_pyramid_pooling() -> None:
    x = random(3, 6, 8, 5)
    quadrants = [[x[:, :3, :4], x[:, :3, 4:]], [x[:, 3:, :4], x[:, 3:, 4:]]]
    expected = np.stack([np.stack([q.max((1, 2)) for q in row], 1) for row in quadrants], 1)
    level = F.spatial_pyramid_pool(x, (2,))
    np.testing.assert_array_equal(jnp.reshape(level, (3, 2, 2, 5)), expected)


# Cost


@pytest.mark.gate
def test_edges_by_two_taps_cost_267960_operations_against_8_billion_matrix_entries() -> None:
    """Deep Learning, section 9.2: each pixel minus its left neighbour, in an image 320 wide and 280 high."""
    image = random(280, 320, 1)
    edges = F.conv(image, jnp.array([-1.0, 1.0]).reshape(1, 2, 1, 1), padding="VALID")
    np.testing.assert_allclose(edges, image[:, 1:] - image[:, :-1], rtol=1e-6, atol=1e-6)
    assert edges.shape == (280, 319, 1)

    counts = shapes.conv_counts((280, 320, 1), 1, (1, 2), padding="VALID", use_bias=False)
    multiplications, additions = counts.macs, counts.macs - edges.size
    assert multiplications + additions == 319 * 280 * 3 == 267_960
    dense = shapes.dense_counts((320 * 280,), 319 * 280, use_bias=False)
    assert dense.parameters == 320 * 280 * 319 * 280 > 8e9
    assert (counts.parameters, counts.output_shape) == (2, (280, 319, 1))


@pytest.mark.gate
def test_the_dense_matrix_does_the_same_where_it_fits() -> None:
    image, taps = random(4, 5, 1), jnp.array([-1.0, 1.0]).reshape(1, 2, 1, 1)

    def edges(image: jax.Array) -> jax.Array:
        return F.conv(image, taps, padding="VALID").ravel()

    matrix = jax.jacobian(edges)(image).reshape(16, 20)
    np.testing.assert_allclose(matrix @ image.ravel(), edges(image), rtol=1e-5, atol=1e-6)
    assert int(jnp.sum(matrix != 0)) == 2 * 16  # two taps in each row, all else zeros
