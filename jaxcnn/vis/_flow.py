"""Optical flow as colours: the direction as hue, the length as saturation."""

import math

import jax
import numpy as np

from jaxcnn._arrays import ArrayLike, as_array

# Numbers of colours between red, yellow, green, cyan, blue, magenta and red: more where people distinguish more.
_STEPS = (15, 6, 4, 11, 13, 6)
_CORNERS = ((1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 1, 1), (0, 0, 1), (1, 0, 1), (1, 0, 0))


def flow_to_color(flow: ArrayLike, *, largest: float | jax.Array | np.ndarray | None = None) -> np.ndarray:
    """The colours of a flow by the wheel of the Middlebury benchmark.

    A displacement to the right is red, down yellow, left cyan, up violet; 0 is white, and the longest is saturated.

    Args:
        flow: ``(*batch, height, width, 2)`` as ``(u, v)``, columns and rows, as ``functional.optical_flow`` gives it.
        largest: the length of saturated colours, a number or an array without axes; by default the longest of all.
            Longer ones are drawn darker.

    Returns:
        ``(*batch, height, width, 3)``, uint8.

    Raises:
        ValueError: another shape, a flow that is not finite, or a length that is not positive.
        TypeError: complex numbers.

    Source: Baker et al. (2011), "A database and evaluation methodology for optical flow", figure 7.

    >>> flow_to_color(np.array([[[1.0, 0.0], [0.0, 0.0]]]))
    array([[[255,   0,   0],
            [255, 255, 255]]], dtype=uint8)
    """
    array = as_array(flow, name="flow")
    if np.iscomplexobj(array):
        raise TypeError("expected a flow of real numbers, (u, v) along the last axis; got complex numbers.")
    if isinstance(array, jax.core.Tracer):
        raise TypeError("a flow is drawn outside of compiled functions: return it from the function, and draw it then.")
    vectors = np.asarray(flow, np.float64)
    if vectors.ndim < 3 or vectors.shape[-1] != 2:
        raise ValueError(f"expected a flow (*batch, height, width, 2); got flow.shape={vectors.shape}.")
    if not np.isfinite(vectors).all():
        raise ValueError("expected a finite flow; got NaN or infinity.")
    length = np.hypot(vectors[..., 0], vectors[..., 1])
    if largest is None:
        largest = float(length.max(initial=0)) or 1.0
    elif isinstance(largest, bool | str) or np.ndim(largest) or not 0 < largest < math.inf:
        raise ValueError(f"largest={largest!r} must be a positive number.")
    wheel = _wheel()
    place = (np.arctan2(-vectors[..., 1], -vectors[..., 0]) / np.pi + 1) / 2 * (len(wheel) - 1)
    before = np.floor(place).astype(int)
    share = (place - before)[..., None]
    hue = (1 - share) * wheel[before] + share * wheel[(before + 1) % len(wheel)]
    saturation = (length / float(largest))[..., None]
    colour = np.where(saturation <= 1, 1 - saturation * (1 - hue), 0.75 * hue)
    return np.floor(255 * colour).astype(np.uint8)


def _wheel() -> np.ndarray:
    """The 55 colours of the wheel, ``(55, 3)`` in [0, 1]."""
    arcs = zip(_STEPS, _CORNERS, _CORNERS[1:], strict=False)
    parts = [
        np.array(start) + np.floor(255 * np.arange(count)[:, None] / count) / 255 * (np.array(stop) - np.array(start))
        for count, start, stop in arcs
    ]
    return np.concatenate(parts)
