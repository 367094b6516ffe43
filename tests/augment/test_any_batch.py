"""Any number of batch axes, scalar arguments for all images, compositions of functions, and wrong calls."""

import functools
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxcnn import augment
from tests.augment.test_batches import AXES
from tests.compiled import compiled
from tests.tiers import default_rows

IMAGES = np.random.default_rng(0).uniform(size=(6, 8, 8, 3)).astype(np.float32)
FACTORS = np.float32([0.1, 0.5, 0.9, 1.2, 1.5, 2.0])
TARGETS = np.eye(6, dtype=np.float32)
MATRIX = np.float32([[0.9, 0.1, 0.5], [-0.1, 1.1, 1.0]])

# For each function: a call with a key, images and arguments of each image.
EACH: dict[str, tuple[Callable[..., Any], np.ndarray | None]] = {
    "adjust_brightness": (lambda key, x, factors: augment.adjust_brightness(x, factors), FACTORS),
    "adjust_contrast": (lambda key, x, factors: augment.adjust_contrast(x, factors), FACTORS),
    "adjust_hue": (lambda key, x, turns: augment.adjust_hue(x, turns), FACTORS),
    "adjust_saturation": (lambda key, x, factors: augment.adjust_saturation(x, factors), FACTORS),
    "affine": (lambda key, x, matrices: augment.affine(x, matrices), MATRIX[None] * FACTORS[:, None, None]),
    "alternating_flip": (functools.partial(augment.alternating_flip, epoch=1), np.arange(6)),
    "cutmix": (augment.cutmix, TARGETS),
    "mixup": (functools.partial(augment.mixup, alpha=1.0), TARGETS),
    "mixup_or_cutmix": (functools.partial(augment.mixup_or_cutmix, mixup_alpha=1.0), TARGETS),
    "rand_augment": (augment.rand_augment, None),
    "random_affine": (functools.partial(augment.random_affine, rotate=30.0), None),
    "random_color": (functools.partial(augment.random_color, brightness=0.4, hue=0.1), None),
    "random_crop": (functools.partial(augment.random_crop, size=(5, 4), padding=1), None),
    "random_cutout": (functools.partial(augment.random_cutout, size=3), None),
    "random_elastic": (functools.partial(augment.random_elastic, sigma=2.0), None),
    "random_erasing": (functools.partial(augment.random_erasing, probability=0.9), None),
    "random_flip": (augment.random_flip, None),
    "random_pca_noise": (lambda key, x: augment.random_pca_noise(key, x, AXES), None),
    "random_resized_crop": (functools.partial(augment.random_resized_crop, size=4), None),
    "random_shift": (functools.partial(augment.random_shift, max_pixels=2), None),
    "trivial_augment": (augment.trivial_augment, None),
}
VIEWS: dict[str, Callable[[Any], jax.Array]] = {
    "flip_views": augment.flip_views,
    "shift_views": augment.shift_views,
    "ten_crop": functools.partial(augment.ten_crop, size=5),
}


def test_the_tables_are_complete() -> None:
    of_batches = {name for name in augment.__all__ if name.startswith("random_scene_")}  # see test_scenes.py
    assert {*EACH, *VIEWS, *of_batches, "average_over_views", "chain", "color_axes", "on", "per_clip"} == set(
        augment.__all__
    )


# The programs that take longest to compile; each combines functions of other rows.
COMPOSED = {"mixup_or_cutmix", "rand_augment", "random_erasing", "random_resized_crop", "trivial_augment"}


# Factors, matrices and targets of each image, and draws of two kinds; shapes are checked of all below.
BY_DEFAULT = ["adjust_hue", "affine", "mixup", "random_crop", "random_flip"]


@pytest.mark.parametrize("name", default_rows(list(EACH), keep=BY_DEFAULT))
def test_batch_axes_are_those_of_the_images(name: str, key: jax.Array) -> None:
    """Two batch axes give the result of one axis of the same total size; no batch axis gives that of one image."""
    function, own = EACH[name]
    both = jax.jit(function)

    def call(*batch: int) -> Any:
        count = int(np.prod(batch))
        arrays = [IMAGES] if own is None else [IMAGES, own]
        return both(key, *(array[:count].reshape((*batch, *array.shape[1:])) for array in arrays))

    def check(y: jax.Array, flat: jax.Array, *batch: int) -> None:
        assert y.shape[: len(batch)] == batch and y.shape[len(batch) :] == flat.shape[1:]
        np.testing.assert_array_equal(np.reshape(y, flat.shape), flat)

    jax.tree.map(lambda y, flat: check(y, flat, 2, 3), call(2, 3), call(6))
    jax.tree.map(lambda y, flat: check(y, flat), call(), call(1))


@pytest.mark.parametrize("name", sorted(COMPOSED))
@pytest.mark.parametrize("batch", [(), (1,), (2, 3)])
def test_shapes_with_batch_axes(name: str, batch: tuple[int, ...], key: jax.Array) -> None:
    function, own = EACH[name]
    operands = [IMAGES] if own is None else [IMAGES, own]
    count = int(np.prod(batch))
    arrays = [jax.ShapeDtypeStruct((*batch, *operand.shape[1:]), operand.dtype) for operand in operands]
    flat = jax.eval_shape(function, key, *(operand[:count] for operand in operands))
    found = jax.eval_shape(function, key, *arrays)
    assert [leaf.shape for leaf in jax.tree.leaves(found)] == [
        (*batch, *leaf.shape[1:]) for leaf in jax.tree.leaves(flat)
    ]


@pytest.mark.parametrize("name", VIEWS)
def test_views_precede_the_batch_axes(name: str) -> None:
    views = jax.jit(VIEWS[name])
    flat, one = np.asarray(views(IMAGES)), np.asarray(views(IMAGES[0]))
    np.testing.assert_array_equal(views(IMAGES.reshape(3, 2, 8, 8, 3)), flat.reshape(-1, 3, 2, *flat.shape[2:]))
    np.testing.assert_array_equal(one, flat[:, 0])
    average = compiled(functools.partial(augment.average_over_views, functools.partial(jnp.mean, axis=(-3, -2))))
    np.testing.assert_allclose(average(one), average(flat)[0], rtol=1e-6)


def test_axes_of_colours_are_of_all_pixels() -> None:
    axes = jax.jit(augment.color_axes)
    np.testing.assert_array_equal(axes(IMAGES.reshape(2, 3, 8, 8, 3)), axes(IMAGES))


@pytest.mark.parametrize("name", ["adjust_brightness", "adjust_contrast", "adjust_saturation", "adjust_hue"])
@pytest.mark.parametrize("number", default_rows([0.3, np.float32(0.3), 1], keep=[1]))
def test_a_number_for_all_images(name: str, number: Any) -> None:
    adjust = compiled(getattr(augment, name))
    expected = np.asarray(adjust(IMAGES, np.full(6, number, np.float32)))
    np.testing.assert_allclose(adjust(IMAGES, number), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(adjust(IMAGES[0], number), expected[0], rtol=1e-5, atol=1e-6)


def test_a_matrix_for_all_images() -> None:
    affine = jax.jit(augment.affine)
    expected = np.asarray(affine(IMAGES, np.broadcast_to(MATRIX, (6, 2, 3))))
    np.testing.assert_array_equal(affine(IMAGES, MATRIX), expected)
    np.testing.assert_array_equal(affine(IMAGES[0], MATRIX), expected[0])


@pytest.mark.parametrize("name", default_rows(["random_flip", "mixup", "random_crop"], keep=["random_crop"]))
def test_two_batch_axes_of_a_mesh_with_explicit_axes(name: str, key: jax.Array) -> None:
    function, own = EACH[name]
    arrays = [IMAGES] if own is None else [IMAGES, own]
    arrays = [np.repeat(array, 4, axis=0) for array in arrays]
    expected = jax.jit(function)(key, *arrays)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Explicit,))
    with jax.set_mesh(mesh):
        placed = [
            jax.device_put(array.reshape(8, 3, *array.shape[1:]), NamedSharding(mesh, P("data"))) for array in arrays
        ]
        y = jax.jit(function)(key, *placed)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(np.reshape(a, b.shape), b, atol=1e-6), y, expected)


def test_a_chain_splits_its_key(key: jax.Array) -> None:
    crop = functools.partial(augment.random_crop, size=6, padding=1)
    functions = (crop, augment.random_flip, functools.partial(augment.random_color, brightness=0.4))
    x: Any = IMAGES
    for one, function in zip(jax.random.split(key, 3), functions, strict=True):
        x = jax.jit(function)(one, x)
    np.testing.assert_allclose(jax.jit(augment.chain(*functions))(key, IMAGES), x, atol=1e-6)
    np.testing.assert_array_equal(augment.chain()(key, IMAGES), IMAGES)
    pairs = augment.chain(lambda key, pair: augment.mixup(key, *pair), lambda key, pair: augment.cutmix(key, *pair))
    found = jax.eval_shape(pairs, key, (IMAGES, TARGETS))
    assert [part.shape for part in found] == [IMAGES.shape, TARGETS.shape]
    with pytest.raises(TypeError, match=r"chain: argument 2 must be a function \(key, x\) -> x, not ndarray. To set"):
        augment.chain(augment.random_flip, IMAGES)  # type: ignore[arg-type]


CALLS: list[tuple[Callable[..., Any], str]] = [
    (lambda key, x: augment.random_crop(key, x, padding=4), "random_crop: size is missing. The call is random_crop("),
    (
        lambda key, x: augment.random_affine(key, x, degrees=30),
        "random_affine: there is no argument 'degrees'. Did you",
    ),
    (lambda key, x: augment.cutmix(key, x), "cutmix: targets is missing. The call is cutmix(key, images, targets)."),
    (
        lambda key, x: augment.random_flip(x, key),
        "random_flip: key must be a JAX random key, such as jax.random.key(0), ",
    ),
    (
        lambda key, x: augment.random_flip(3, x),
        "random_flip: key must be a JAX random key, but is 3. Make one: jax.rand",
    ),
    (
        lambda key, x: augment.random_flip(None, x),
        "random_flip: key must be a JAX random key, such as jax.random.key(0",
    ),
    (
        lambda key, x: augment.random_flip(jax.random.split(key), x),
        "key must be a single JAX random key for all images",
    ),
    (lambda key, x: augment.chain(augment.random_flip)(x, key), "chain: key must be a JAX random key, such as"),
    (lambda key, x: augment.random_affine(key, x, rotate=x.mean()), "It is part of the compiled program: jax.jit"),
    (lambda key, x: augment.random_cutout(key, x, size=3, fill=None), "random_cutout: fill must be a single number"),
]


@pytest.mark.parametrize(("call", "message"), CALLS)
def test_a_wrong_call_is_refused_at_the_boundary_under_jit(call: Any, message: str, key: jax.Array) -> None:
    """The last frame of the traceback is in the module of the public function."""
    with pytest.raises(TypeError, match=re.escape(message)) as caught:
        jax.jit(call)(key, IMAGES)
    last = str(caught.traceback[-1].path)
    assert last.endswith(("_hints.py", "augment/_images.py")), last


def test_raw_keys_are_keys(key: jax.Array) -> None:
    raw = jax.random.PRNGKey(3)
    flip = jax.jit(augment.random_flip)
    expected = flip(raw, IMAGES)
    assert expected.shape == IMAGES.shape
    np.testing.assert_array_equal(augment.random_flip(np.asarray(raw), IMAGES), expected)
