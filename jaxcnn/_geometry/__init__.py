"""The sizes of every operation in plain integers, for the other packages to use.

``jaxcnn.shapes`` exports the public functions. Nothing here imports jax.
"""

from jaxcnn._geometry._adaptive_pool import adaptive_bins, adaptive_output, pyramid_levels, spatial_sizes
from jaxcnn._geometry._batch_norm import check_per_channel, feature_axes, full_rank_mask, group_in_channels
from jaxcnn._geometry._boundary import boundary_position, boundary_runs
from jaxcnn._geometry._conv import (
    ConvGeometry,
    check_bias,
    check_groups,
    conv_geometry,
    conv_kernel_shape,
    conv_output_shape,
    groups_per_block,
)
from jaxcnn._geometry._conv_transpose import (
    conv_transpose_geometry,
    conv_transpose_output_padding,
    conv_transpose_output_shape,
)
from jaxcnn._geometry._feature_pool import feature_groups
from jaxcnn._geometry._filters import centred_window, check_filter, filter_axis, filter_ndim
from jaxcnn._geometry._lax_conv import Arrangement, LaxConv, read_lax_conv
from jaxcnn._geometry._local_conv import (
    TilePlan,
    check_local_positions,
    check_unshared_bias,
    local_conv_kernel_shape,
    plan_tiles,
    unshared_geometry,
)
from jaxcnn._geometry._options import ConvAlgorithm, PoolKind, Resize, SignalMode, Stem
from jaxcnn._geometry._padding import (
    PADDING_MODES,
    PADDING_NAMES,
    Padding,
    PaddingCounts,
    PaddingMode,
    Pads,
    dilated_size,
    explicit_pads,
    output_size,
    pads_per_axis,
    reach,
    same_pads,
)
from jaxcnn._geometry._patches import PatchPlan, patches_output_shape, plan_fold, plan_patches, split_image_shape
from jaxcnn._geometry._pool import PoolAxis, PoolPlan, norm_exponent, plan_pool, pool_output_shape
from jaxcnn._geometry._separable import check_depthwise, check_pointwise, check_separable
from jaxcnn._geometry._signal import slide
from jaxcnn._geometry._span import Span, cover, regroup
from jaxcnn._geometry._spectrum import fast_length
from jaxcnn._geometry._torch_layout import torch_layout_warning
from jaxcnn._geometry._unpool import MOST_POSITIONS, check_index_range, unpool_shape

__all__ = [
    "MOST_POSITIONS",
    "PADDING_MODES",
    "PADDING_NAMES",
    "Arrangement",
    "ConvAlgorithm",
    "ConvGeometry",
    "LaxConv",
    "Padding",
    "PaddingCounts",
    "PaddingMode",
    "Pads",
    "PatchPlan",
    "PoolAxis",
    "PoolKind",
    "PoolPlan",
    "Resize",
    "SignalMode",
    "Span",
    "Stem",
    "TilePlan",
    "adaptive_bins",
    "adaptive_output",
    "boundary_position",
    "boundary_runs",
    "centred_window",
    "check_bias",
    "check_depthwise",
    "check_filter",
    "check_groups",
    "check_index_range",
    "check_local_positions",
    "check_per_channel",
    "check_pointwise",
    "check_separable",
    "check_unshared_bias",
    "conv_geometry",
    "conv_kernel_shape",
    "conv_output_shape",
    "conv_transpose_geometry",
    "conv_transpose_output_padding",
    "conv_transpose_output_shape",
    "cover",
    "dilated_size",
    "explicit_pads",
    "fast_length",
    "feature_axes",
    "feature_groups",
    "filter_axis",
    "filter_ndim",
    "full_rank_mask",
    "group_in_channels",
    "groups_per_block",
    "local_conv_kernel_shape",
    "norm_exponent",
    "output_size",
    "pads_per_axis",
    "patches_output_shape",
    "plan_fold",
    "plan_patches",
    "plan_pool",
    "plan_tiles",
    "pool_output_shape",
    "pyramid_levels",
    "reach",
    "read_lax_conv",
    "regroup",
    "same_pads",
    "slide",
    "spatial_sizes",
    "split_image_shape",
    "torch_layout_warning",
    "unpool_shape",
    "unshared_geometry",
]
