"""What formulations of dense convolutions share: whether one is dense, and the counts that estimates are made of."""

from math import prod
from typing import NamedTuple

from jaxcnn._geometry import ConvGeometry


class Counts(NamedTuple):
    """``entries`` is the size of all windows laid end to end, without the zeros that dilate the input."""

    images: int
    positions: int
    taps: int
    reads: int
    writes: int
    entries: float
    arrays: int

    @property
    def products(self) -> float:
        """Multiply-adds with the output channels rounded up to whole vectors of 16."""
        return self.entries * (-(-self.writes // 16) * 16)


def count_dense(geometry: ConvGeometry) -> Counts:
    """Counts of images, output positions, taps, channels, window entries, and numbers in ``x`` and ``y`` together."""
    images = prod(geometry.batch_shape)
    positions, taps = images * prod(geometry.out_sizes), prod(geometry.window)
    entries = positions * taps * geometry.in_channels / prod(geometry.input_dilation)
    arrays = prod(geometry.x_shape) + prod(geometry.out_shape)
    return Counts(images, positions, taps, geometry.in_channels, geometry.out_channels, entries, arrays)


def why_not_dense(geometry: ConvGeometry) -> str | None:
    """Why this is not one group with something to sum, or None where it is."""
    if geometry.groups != 1:
        return f"it wants one group, and there are {geometry.groups}"
    if not prod(geometry.x_shape) * prod(geometry.out_shape):
        return f"it wants arrays that are not empty, and these are {geometry.x_shape} and {geometry.out_shape}"
    return None
