"""Augmentations of images as augmentations of batches."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax

from jaxcnn._error_context import error_context
from jaxcnn.augment._chain import apply_in_turn

# These move pixels, so that masks, boxes and points of the same image no longer fit.
_MOVING = (
    "affine",
    "alternating_flip",
    "rand_augment",
    "random_affine",
    "random_crop",
    "random_elastic",
    "random_flip",
    "random_resized_crop",
    "random_shift",
    "trivial_augment",
)
_PLACES = ("segmentation", "boxes", "bbox", "keypoints", "objects", "flow")


def on(name: str, function: Callable[[jax.Array, jax.Array], jax.Array]) -> Callable[[jax.Array, Any], dict[str, Any]]:
    """The augmentation of a batch that changes one of its arrays.

    To move several arrays alike, such as an image and a target for every pixel, write a function of the batch that uses
    one key for all of them: ``{**batch, **{name: random_flip(key, batch[name]) for name in ("image", "target")}}``.

    Args:
        name: the array, such as ``"image"``.
        function: ``(key, array) -> array``, such as ``random_flip`` or ``functools.partial(random_crop, size=32)``.

    Returns:
        ``(key, batch) -> batch``, as ``Experiment.augment`` takes it.

    Raises:
        ValueError: when it is called: the batch has no such array; or one of this package's functions that move pixels
            is used on ``image`` while the batch has masks, boxes or points, which would stay where they are.

    >>> import jax.numpy as jnp
    >>> brighter = on("image", lambda key, images: images + 1.0)
    >>> brighter(jax.random.key(0), {"image": jnp.zeros((1, 1, 1, 1)), "label": jnp.array([3])})["image"].ravel()
    Array([1.], dtype=float32)
    """

    @error_context("on")
    def augmented(key: jax.Array, batch: Mapping[str, Any]) -> dict[str, Any]:
        if name not in batch:
            raise ValueError(f"the batch has no array {name!r}, only {', '.join(map(repr, batch))}.")
        moved = [place for place in _PLACES if place in batch and place != name]
        if moved and (moving := _moving(function)):
            raise ValueError(
                f"{moving} moves the pixels of {name!r}, but the batch has {moved[0]!r} too, which would stay "
                f"where it is. random_scene_flip, random_scene_crop and random_scene_scale move both; any other "
                f"augment of the whole batch is a function (key, batch) -> batch."
            )
        return {**batch, name: function(key, batch[name])}

    return augmented


def _moving(augment: Any) -> str | None:
    """The name of the function that moves pixels, looking into ``functools.partial`` and ``chain``."""
    if isinstance(augment, functools.partial):
        parts = augment.args[0] if augment.func is apply_in_turn else (augment.func,)
        return next((name for part in parts if (name := _moving(part))), None)
    name = getattr(augment, "__name__", "")
    return name if name in _MOVING and augment.__module__.startswith("jaxcnn.augment.") else None
