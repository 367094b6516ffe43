"""Weights of image networks for video networks (Carreira and Zisserman 2017)."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn._arrays import as_array
from jaxcnn._errors import ShapeError
from jaxcnn.models._weights import listed


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
        TypeError: something else than dicts of arrays.
        ValueError: variables that only one of the networks has; the message lists them.
        ShapeError: shapes that are neither equal nor those of a kernel and its repetition.

    Source: Carreira and Zisserman (2017), "Quo vadis, action recognition?", section 2.4.

    >>> image = {"params": {"conv": {"kernel": jnp.full((1, 1, 1, 1), 6.0)}}}
    >>> video = {"params": {"conv": {"kernel": jnp.zeros((3, 1, 1, 1, 1))}}}
    >>> print(inflate(image, video)["params"]["conv"]["kernel"].ravel())
    [2. 2. 2.]
    """
    images, videos = _leaves(variables, name="variables"), _leaves(like, name="like")
    faults = [
        f"the {kind} network has no {listed(missing)}"
        for kind, here, there in (("image", images, videos), ("video", videos, images))
        if (missing := [path for path in there if path not in here])
    ]
    if faults:
        raise ValueError(f"{', and '.join(faults)}. Create both with the same layers and the same num_classes.")

    def inflated(keys: Any, leaf: Any) -> jax.Array:
        path = _path(keys, name="like")
        array, shape = as_array(images[path], name=path), np.shape(leaf)
        if array.shape == shape:
            return jnp.array(array, copy=True)
        if array.shape == shape[1:] and path.endswith("/kernel"):
            return jnp.broadcast_to(array / shape[0], shape)
        faults.append(f"{path} {shape} from {array.shape}")
        return array

    found = jax.tree.map_with_path(inflated, like)
    if faults:
        raise ShapeError(
            f"expected equal shapes, or a kernel with one more axis before the others, the frames; got "
            f"{listed(faults)}."
        )
    return found


def _leaves(tree: Any, *, name: str) -> dict[str, Any]:
    return {_path(keys, name=name): leaf for keys, leaf in jax.tree.leaves_with_path(tree)}


def _path(keys: Any, *, name: str) -> str:
    if not keys or not all(isinstance(key, jax.tree_util.DictKey) for key in keys):
        raise TypeError(f"{name} must be the variables of a network, as its init returns them: dicts of arrays.")
    return "/".join(str(key.key) for key in keys)
