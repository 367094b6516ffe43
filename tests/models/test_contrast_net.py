"""The stages of Jarrett et al. (2009) against NumPy, and the strongest inputs of random kernels."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxcnn import functional as F
from jaxcnn._errors import ShapeError
from jaxcnn.models import JARRETT_STAGES, ContrastNet, ContrastStage
from tests.oracles import local_contrast_norm as oracle

STAGE = ContrastStage(features=2, kernel_size=3, pool_window=3, pool_strides=2, contrast_window=3)


def test_a_stage_is_filters_abs_contrast_and_means(key: jax.Array) -> None:
    model = ContrastNet(num_classes=0, stages=[STAGE])
    x = np.asarray(jax.random.normal(key, (1, 7, 7, 2)))
    variables = jax.jit(model.init)(key, x)
    gain = np.array([1.0, -2.0], np.float32)
    variables["params"]["stage1"]["gain"] = gain
    found = jax.jit(lambda variables, x: model.apply(variables, x, method="features"))(variables, x)
    kernel = np.asarray(variables["params"]["stage1"]["filters"]["kernel"], float)
    maps = np.zeros((5, 5, 2))
    for i, j in itertools.product(range(5), range(5)):
        maps[i, j] = gain * np.tanh((x[0, i : i + 3, j : j + 3, :, None] * kernel).sum((0, 1, 2)))
    np.testing.assert_allclose(found["filters1"][0], maps, atol=1e-5)
    normal = oracle.local_contrast_norm(np.abs(maps), window=(3, 3), sigma=(0.75, 0.75))
    pooled = [[normal[i : i + 3, j : j + 3].mean((0, 1)) for j in (0, 2)] for i in (0, 2)]
    np.testing.assert_allclose(found["pool1"][0], pooled, atol=1e-5)
    np.testing.assert_allclose(found["logits"], np.reshape(pooled, (1, 8)), atol=1e-5)


def test_parts_can_be_left_out(key: jax.Array) -> None:
    stage = dataclasses.replace(STAGE, rectify=False, contrast_window=0, pooling="max")
    x = jax.random.normal(key, (1, 7, 7, 1))
    found, _ = jax.jit(lambda x: ContrastNet(stages=[stage]).init_with_output(key, x, method="features"))(x)
    np.testing.assert_array_equal(found["pool1"], F.max_pool(found["filters1"], (3, 3), strides=2))


def test_the_stages_of_the_paper_have_its_shapes() -> None:
    model = ContrastNet(num_classes=102, stages=JARRETT_STAGES)
    x = jax.ShapeDtypeStruct((1, 143, 143, 1), jnp.float32)
    found, variables = jax.eval_shape(lambda x: model.init_with_output(jax.random.key(0), x, method="features"), x)
    assert found["pool1"].shape == (1, 26, 26, 64) and found["pool2"].shape == (1, 4, 4, 256)
    assert variables["params"]["stage2"]["filters"]["kernel"].shape == (9, 9, 64, 256)


def test_a_map_that_is_too_small_is_refused() -> None:
    with pytest.raises(ShapeError, match="stage 1 reads maps of at least 5 x 5, for kernels of 3 and pools of 3"):
        jax.eval_shape(ContrastNet(stages=[STAGE]).init, jax.random.key(0), jnp.zeros((1, 4, 8, 1)))
    with pytest.raises(ValueError, match="pooling='mean'"):
        ContrastStage(pooling="mean")  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.gate) for seed in (1, 2))])
def test_a_random_filter_responds_most_to_its_largest_fourier_component(seed: int) -> None:
    """Saxe et al. (2011): the sum of squares over positions is largest for a grating of that frequency."""
    kernel = np.random.default_rng(seed).normal(size=(5, 5)).astype(np.float32)

    def response(x: jax.Array) -> jax.Array:
        y = F.conv(x[..., None], kernel[..., None, None], padding_mode="circular")
        return jnp.square(y).sum()

    def ascend(_: int, x: jax.Array) -> jax.Array:
        gradient = jax.grad(response)(x)
        return gradient / jnp.linalg.norm(gradient)

    def strongest(array: np.ndarray) -> tuple[int, ...]:
        """The frequency of the largest component; of a pair of opposite frequencies, the first."""
        sizes = np.abs(np.fft.fft2(array, (12, 12)))
        place = np.unravel_index(sizes.argmax(), sizes.shape)
        return min(tuple(int(i) for i in place), tuple(int(-i % 12) for i in place))

    start = jax.random.normal(jax.random.key(seed), (12, 12))
    best = jax.jit(lambda x: lax.fori_loop(0, 1000, ascend, x))(start)
    assert strongest(np.asarray(best)) == strongest(kernel)
