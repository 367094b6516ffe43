"""Sizes in plain integers: padding, output shapes, receptive fields, parameter counts and multiply-adds.

Nothing here imports jax.
"""

from typing import TYPE_CHECKING

from jaxcnn._errors import ShapeError
from jaxcnn._geometry import (
    PADDING_MODES,
    PADDING_NAMES,
    adaptive_bins,
    conv_output_shape,
    conv_transpose_output_padding,
    conv_transpose_output_shape,
    local_conv_kernel_shape,
    patches_output_shape,
    pool_output_shape,
    same_pads,
)
from jaxcnn._hints import install_hints
from jaxcnn.shapes._counts import (
    LayerCounts,
    batch_norm_counts,
    conv_counts,
    conv_transpose_counts,
    dense_counts,
    local_conv_counts,
    tiled_conv_counts,
)
from jaxcnn.shapes._receptive_field import ReceptiveField, SlidingWindow, positions_seen, receptive_field

__all__ = [
    "PADDING_MODES",
    "PADDING_NAMES",
    "LayerCounts",
    "ReceptiveField",
    "ShapeError",
    "SlidingWindow",
    "adaptive_bins",
    "batch_norm_counts",
    "conv_counts",
    "conv_output_shape",
    "conv_transpose_counts",
    "conv_transpose_output_padding",
    "conv_transpose_output_shape",
    "dense_counts",
    "local_conv_counts",
    "local_conv_kernel_shape",
    "patches_output_shape",
    "pool_output_shape",
    "positions_seen",
    "receptive_field",
    "same_pads",
    "tiled_conv_counts",
]

if not TYPE_CHECKING:  # or type checkers would accept every name
    __getattr__ = install_hints(globals())
