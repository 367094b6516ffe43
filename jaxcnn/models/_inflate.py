"""Weights of image networks for video networks (Carreira and Zisserman 2017)."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from jaxcnn._errors import ShapeError
from jaxcnn.models._weights import listed, nested, paths


def inflate(variables: Mapping[str, Any], like: Mapping[str, Any]) -> dict[str, Any]:
    """The variables of an image network as those of a network for video with the same layers.

    A kernel ``(height, width, in, out)`` is repeated over the ``frames`` of the video kernel ``(frames, height, width,
    in, out)`` and divided by their number. So for a video of equal frames a layer gives the result for one frame,
    except where it reads padding before the first or after the last frame. Variables of equal shapes are copied.

    Args:
        variables: of the image network, by collection.
        like: the variables of the video network, or their shapes from ``jax.eval_shape``.

    Returns:
        a tree of the structure of ``like``.

    Raises:
        ValueError: variables that only one of the networks has; the message lists them.
        ShapeError: shapes that are neither equal nor those of a kernel and its repetition.

    Source: Carreira and Zisserman (2017), "Quo vadis, action recognition?", section 2.4.

    >>> image = {"params": {"conv": {"kernel": jnp.full((1, 1, 1, 1), 6.0)}}}
    >>> video = {"params": {"conv": {"kernel": jnp.zeros((3, 1, 1, 1, 1))}}}
    >>> print(inflate(image, video)["params"]["conv"]["kernel"].ravel())
    [2. 2. 2.]
    """
    images, videos = dict(paths(variables)), dict(paths(like))
    if alone := [path for path in images | videos if path not in images or path not in videos]:
        raise ValueError(f"only one of the networks has {listed(alone)}.")
    found, faults = {}, []
    for path, leaf in videos.items():
        array = jnp.asarray(images[path])
        if array.shape == leaf.shape:
            found[path] = array
        elif array.shape == leaf.shape[1:] and path.endswith("/kernel"):
            found[path] = jnp.broadcast_to(array / leaf.shape[0], leaf.shape)
        else:
            faults.append(f"{path} {leaf.shape} from {array.shape}")
    if faults:
        raise ShapeError(
            f"expected equal shapes, or a kernel with one more axis before the others, the frames; got "
            f"{listed(faults)}."
        )
    return nested(found)
