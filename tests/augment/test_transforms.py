"""Every augmentation under every transform of JAX."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType

from jaxcnn.augment import random_affine, random_flip, random_shift
from tests.augment.placed import (
    Augment,
    check_adjoint,
    check_jit_and_vmap,
    check_shard_map_and_export,
    check_sharded,
)
from tests.tiers import default_rows

AUGMENTS: dict[str, Augment] = {
    "affine": functools.partial(random_affine, shift=2.0, rotate=25.0, scale=0.3, shear=10.0, fill=0.0),
    "flip": random_flip,
    "shift_zeros": functools.partial(random_shift, max_pixels=3),
    "shift_reflect": functools.partial(random_shift, max_pixels=3, padding_mode="reflect"),
}
each = pytest.mark.parametrize("augment", AUGMENTS.values(), ids=AUGMENTS)
one_of_each_path = pytest.mark.parametrize("augment", default_rows(AUGMENTS, keep=["affine"]))


@pytest.fixture(scope="module")
def images() -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).normal(size=(16, 6, 7, 2)).astype(np.float32))


@one_of_each_path
def test_jit_and_vmap(augment: Augment, key: jax.Array, images: jax.Array) -> None:
    check_jit_and_vmap(augment, key, images)


@one_of_each_path
def test_gradient_is_the_adjoint(augment: Augment, key: jax.Array) -> None:
    check_adjoint(augment, key)


@one_of_each_path
@pytest.mark.parametrize("kind", default_rows([AxisType.Auto, AxisType.Explicit], keep=[AxisType.Explicit]))
def test_a_batch_in_eight_parts(augment: Augment, key: jax.Array, images: jax.Array, kind: AxisType) -> None:
    check_sharded(augment, key, images, kind)


@one_of_each_path
def test_shard_map_and_export(augment: Augment, key: jax.Array, images: jax.Array) -> None:
    check_shard_map_and_export(augment, key, images)


@each
def test_the_key_decides(augment: Augment, key: jax.Array, images: jax.Array) -> None:
    function = jax.jit(augment)
    y, other = np.asarray(function(key, images)), np.asarray(function(jax.random.fold_in(key, 1), images))
    np.testing.assert_array_equal(y, function(key, images))
    assert np.abs(y - other).max() > 0.1


@one_of_each_path
@pytest.mark.parametrize("dtype", default_rows(["bfloat16", "float16"], keep=["bfloat16"]))
def test_half_precision_is_the_rounded_result(augment: Augment, key: jax.Array, images: jax.Array, dtype: str) -> None:
    halves = np.asarray(images).astype(jnp.dtype(dtype))
    function = jax.jit(augment)
    y = np.asarray(function(key, halves))
    assert y.dtype == halves.dtype
    exact = np.asarray(function(key, halves.astype(np.float32))).astype(halves.dtype)
    np.testing.assert_array_equal(y.astype(np.float32), exact.astype(np.float32))


@each
def test_images_do_not_see_each_other(augment: Augment, key: jax.Array, images: jax.Array) -> None:
    """The result for one image does not depend on the other images of the batch."""
    function, others = jax.jit(augment), np.array(images)
    others[1:] = 0
    np.testing.assert_array_equal(np.asarray(function(key, images))[0], np.asarray(function(key, others))[0])


@each
def test_no_image_at_all(augment: Augment, key: jax.Array) -> None:
    assert jax.jit(augment)(key, np.zeros((0, 4, 4, 1), np.float32)).shape == (0, 4, 4, 1)


@each
def test_integers_are_refused(augment: Augment, key: jax.Array) -> None:
    with pytest.raises(
        TypeError, match=r"^random_\w+: images must have a floating dtype, not uint8. Convert them first"
    ):
        augment(key, np.zeros((2, 4, 4, 1), np.uint8))
    with pytest.raises(
        ValueError, match=r"^random_\w+: images must have the shape \(\*batch, height, width, channels\), but"
    ):
        augment(key, np.zeros((4, 1), np.float32))
