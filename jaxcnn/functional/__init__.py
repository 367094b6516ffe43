"""Pure functions of arrays: every operation of the field, channels last, under every JAX transform."""

from typing import TYPE_CHECKING

from jaxcnn._hints import install_hints
from jaxcnn.functional import filters, tuning
from jaxcnn.functional._accelerate import accelerate
from jaxcnn.functional._adaptive_pool import (
    adaptive_avg_pool,
    adaptive_max_pool,
    global_avg_pool,
    global_max_pool,
    spatial_pyramid_pool,
)
from jaxcnn.functional._anchors import anchors
from jaxcnn.functional._avg_pool import avg_pool
from jaxcnn.functional._batch_norm import BatchStats, batch_norm, batch_stats
from jaxcnn.functional._boxes import (
    box_area,
    box_iou,
    clip_boxes,
    decode_boxes,
    encode_boxes,
    generalized_box_iou,
)
from jaxcnn.functional._conv import conv
from jaxcnn.functional._conv_grads import conv_input_grad, conv_kernel_grad
from jaxcnn.functional._conv_transpose import conv_transpose
from jaxcnn.functional._descriptors import gem, mac, r_mac, spoc
from jaxcnn.functional._engine import ConvCandidate, ConvChoice, ConvExplanation
from jaxcnn.functional._explain import conv_algorithms, explain_conv
from jaxcnn.functional._feature_pool import feature_pool
from jaxcnn.functional._fold_batch_norm import fold_batch_norm
from jaxcnn.functional._local_contrast_norm import local_contrast_norm
from jaxcnn.functional._local_conv import local_conv
from jaxcnn.functional._local_response_norm import local_response_norm
from jaxcnn.functional._lp_pool import lp_pool
from jaxcnn.functional._max_pool import max_pool, max_pool_with_indices, min_pool
from jaxcnn.functional._max_unpool import max_unpool
from jaxcnn.functional._nms import nms
from jaxcnn.functional._optical_flow import optical_flow
from jaxcnn.functional._patches import extract_patches, fold_patches
from jaxcnn.functional._pyramid_roi import pyramid_roi_align
from jaxcnn.functional._roi import roi_align, roi_pool
from jaxcnn.functional._separable import depthwise_conv, pointwise_conv, separable_conv
from jaxcnn.functional._signal import autocorrelate, convolve, correlate
from jaxcnn.functional._tiled_conv import tiled_conv
from jaxcnn.functional._weighted_pool import weighted_pool
from jaxcnn.functional.tuning import use_tuning

__all__ = [
    "BatchStats",
    "ConvCandidate",
    "ConvChoice",
    "ConvExplanation",
    "accelerate",
    "adaptive_avg_pool",
    "adaptive_max_pool",
    "anchors",
    "autocorrelate",
    "avg_pool",
    "batch_norm",
    "batch_stats",
    "box_area",
    "box_iou",
    "clip_boxes",
    "conv",
    "conv_algorithms",
    "conv_input_grad",
    "conv_kernel_grad",
    "conv_transpose",
    "convolve",
    "correlate",
    "decode_boxes",
    "depthwise_conv",
    "encode_boxes",
    "explain_conv",
    "extract_patches",
    "feature_pool",
    "filters",
    "fold_batch_norm",
    "fold_patches",
    "gem",
    "generalized_box_iou",
    "global_avg_pool",
    "global_max_pool",
    "local_contrast_norm",
    "local_conv",
    "local_response_norm",
    "lp_pool",
    "mac",
    "max_pool",
    "max_pool_with_indices",
    "max_unpool",
    "min_pool",
    "nms",
    "optical_flow",
    "pointwise_conv",
    "pyramid_roi_align",
    "r_mac",
    "roi_align",
    "roi_pool",
    "separable_conv",
    "spatial_pyramid_pool",
    "spoc",
    "tiled_conv",
    "tuning",
    "use_tuning",
    "weighted_pool",
]

if not TYPE_CHECKING:  # or type checkers would accept every name
    __getattr__ = install_hints(globals())
