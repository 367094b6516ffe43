"""Augmentations of images as augmentations of batches."""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax

from jaxcnn._error_context import error_context
from jaxcnn.augment._chain import apply_in_turn
from jaxcnn.augment._per_clip import apply_per_clip

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
        function: ``(key, array) -> array``, such as ``random_flip`` or ``functools.partial(random_crop, size=32)``; of
            ``"video"``, such as ``per_clip(random_flip)``.

    Returns:
        ``(key, batch) -> batch``, as ``Experiment.augment`` takes it.

    Raises:
        ValueError: when it is called: the batch has no such array; or one of this package's functions that move pixels
            is used on ``image`` while the batch has masks, boxes or points, which would stay where they are; or a
            function of images is used on ``video`` without ``per_clip``.

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
        if name == "video" and (frame := next(_functions(function), None)):
            raise ValueError(
                f"{frame} changes each frame of 'video' independently. per_clip({frame}) changes all frames of a clip "
                f"alike."
            )
        if moved and (moving := next((each for each in _functions(function, of_clips=True) if each in _MOVING), None)):
            raise ValueError(
                f"{moving} moves the pixels of {name!r}, but the batch has {moved[0]!r} too, which would stay "
                f"where it is. random_scene_flip, random_scene_crop and random_scene_scale move both; any other "
                f"augment of the whole batch is a function (key, batch) -> batch."
            )
        return {**batch, name: function(key, batch[name])}

    return augmented


def _functions(augment: Any, *, of_clips: bool = False) -> Iterator[str]:
    """The names of this package's functions of images, looking into ``functools.partial`` and ``chain``.

    Args:
        augment: any function.
        of_clips: whether to look into ``per_clip`` as well.
    """
    if isinstance(augment, functools.partial) and augment.func in (apply_in_turn, apply_per_clip):
        parts = augment.args[0] if augment.func is apply_in_turn else augment.args[:1] * of_clips
        for part in parts:
            yield from _functions(part, of_clips=of_clips)
    elif isinstance(augment, functools.partial):
        yield from _functions(augment.func, of_clips=of_clips)
    elif getattr(augment, "__module__", "").startswith("jaxcnn.augment."):
        yield augment.__name__
