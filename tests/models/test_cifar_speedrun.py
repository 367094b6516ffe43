"""Parts that only the network of the speed run has: whitening, identity filters, a frozen layer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import ShapeError, models
from jaxcnn.models._cifar_speedrun import dirac_kernel, unit_kernel
from tests.models.small import quick_jit

OPTIONS = {"widths": (8, 8, 8)}


def test_responses_to_the_images_are_white(key: jax.Array) -> None:
    images = jax.random.normal(key, (16, 12, 12, 3)).cumsum(1).cumsum(2)  # neighbouring pixels are similar
    kernel = np.asarray(models.whitening_kernel(images, epsilon=0.0))
    patches = np.stack([np.asarray(images)[:, i : i + 11, j : j + 11] for i in (0, 1) for j in (0, 1)], -2)
    responses = patches.reshape(-1, 12) @ kernel.reshape(12, 24)
    np.testing.assert_allclose(responses[:, :12].T @ responses[:, :12] / len(responses), np.eye(12), atol=2e-2)
    np.testing.assert_array_equal(kernel[..., 12:], -kernel[..., :12])
    power = (kernel[..., :12].reshape(12, 12) ** 2).sum(0)
    assert (np.diff(power) > 0).all(), "the direction with the most variance comes first and has the least filter"


def test_epsilon_bounds_the_filters(key: jax.Array) -> None:
    # grey images: two of three colour directions have no variance
    images = jnp.broadcast_to(jax.random.normal(key, (4, 8, 8, 1)), (4, 8, 8, 3))
    norms = np.sqrt((np.asarray(models.whitening_kernel(images, epsilon=1e-2)) ** 2).sum((0, 1, 2)))
    assert norms.max() <= 10.01


def test_the_filters_of_bytes_and_of_half_precision_are_those_of_floats() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 6, 6, 1)).astype(np.uint8)
    expected = models.whitening_kernel(images.astype(np.float32))
    for dtype in (np.uint8, jnp.bfloat16):
        found = models.whitening_kernel(jnp.asarray(images, dtype))
        np.testing.assert_allclose(np.asarray(found, np.float32), expected, rtol=1e-4, atol=1e-6)


def test_an_image_smaller_than_a_patch_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"whitening_kernel: .* sides of at least 2"):
        models.whitening_kernel(jnp.zeros((4, 1, 8, 3)))


def test_initial_kernels(key: jax.Array) -> None:
    kernel = dirac_kernel(key, (3, 3, 4, 6))
    x = jax.random.normal(key, (1, 5, 5, 4))
    y = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    np.testing.assert_allclose(y[..., :4], x, atol=1e-6)
    assert 0 < np.abs(kernel[..., 4:]).max() <= 1 / 6
    np.testing.assert_allclose(np.std(unit_kernel(key, (256, 10)), ddof=1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("frozen", "frozen_bias"),
    [
        (True, False),
        pytest.param(False, True, marks=pytest.mark.gate),
        pytest.param(True, True, marks=pytest.mark.gate),
        pytest.param(False, False, marks=pytest.mark.gate),
    ],
)
def test_the_gradient_of_the_whitening(frozen: bool, frozen_bias: bool, key: jax.Array) -> None:
    freeze = {"freeze_whitening": frozen, "freeze_whitening_bias": frozen_bias}
    model = models.create("cifar_speedrun", **freeze, **OPTIONS)
    x = jax.random.normal(key, (2, 32, 32, 3))
    variables = quick_jit(model.init)(key, x)
    grads = quick_jit(jax.grad(lambda params: (model.apply({**variables, "params": params}, x) ** 2).sum()))(
        variables["params"]
    )
    assert bool((grads["whiten"]["kernel"] == 0).all()) is frozen
    assert bool((grads["whiten"]["bias"] == 0).all()) is frozen_bias
    assert (grads["group1"]["conv1"]["kernel"] != 0).any()


@pytest.mark.parametrize(("size", "options"), [(24, {}), (49, {}), (32, {"widths": (8, 8)})])
def test_sizes_that_do_not_end_in_one_position_are_refused(size: int, options: dict[str, tuple[int, ...]]) -> None:
    model = models.create("cifar_speedrun", **{**OPTIONS, **options})
    message = "CifarSpeedrun: widths must have three entries" if options else "sides from 25 to 48; .* map of 3x3"
    with pytest.raises(ShapeError, match=message):
        jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, size, size, 3)))


@pytest.mark.parametrize("size", [25, 48])
def test_the_least_and_the_greatest_size(size: int) -> None:
    model = models.create("cifar_speedrun", **OPTIONS)
    found = jax.eval_shape(
        lambda key: model.init_with_output(key, jnp.zeros((2, size, size, 3)), method="features")[0], jax.random.key(0)
    )
    assert found["pooled"].shape == (2, 8)
