"""Counts that the estimates of dense convolutions are computed from, and whether a convolution is dense."""

from math import prod
from typing import NamedTuple

from jaxcnn._geometry import ConvGeometry


class Counts(NamedTuple):
    """Numbers of a dense convolution.

    Attributes:
        images: the size of the batch.
        positions: output positions of all images.
        taps: positions of the window.
        in_channels: channels of ``x``.
        out_channels: channels of ``y``.
        entries: of all windows together, without the zeros that dilate the input.
        arrays: entries of ``x`` and ``y``.
    """

    images: int
    positions: int
    taps: int
    in_channels: int
    out_channels: int
    entries: float
    arrays: int

    @property
    def products(self) -> float:
        """Multiply-adds, with the number of output channels rounded up to a multiple of 16, the width of a vector."""
        return self.entries * (-(-self.out_channels // 16) * 16)


def count_dense(geometry: ConvGeometry) -> Counts:
    """The counts of a convolution of one group."""
    images = prod(geometry.batch_shape)
    positions, taps = images * prod(geometry.out_sizes), prod(geometry.window)
    entries = positions * taps * geometry.in_channels / prod(geometry.input_dilation)
    arrays = prod(geometry.x_shape) + prod(geometry.out_shape)
    return Counts(images, positions, taps, geometry.in_channels, geometry.out_channels, entries, arrays)


def why_not_dense(geometry: ConvGeometry) -> str | None:
    """Why this is not a convolution of one group with entries to sum, or None if it is."""
    if geometry.groups != 1:
        return f"it requires one group, and there are {geometry.groups}"
    return why_not_empty(geometry)


def why_not_empty(geometry: ConvGeometry) -> str | None:
    """Why there are no entries to sum, or None if there are."""
    if not prod(geometry.x_shape) * prod(geometry.out_shape):
        return f"it requires arrays that are not empty, and these are {geometry.x_shape} and {geometry.out_shape}"
    return None
