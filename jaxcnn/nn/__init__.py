"""Flax Linen modules: each creates parameters and calls one function of ``jaxcnn.functional``."""

from typing import TYPE_CHECKING

from jaxcnn._hints import install_hints
from jaxcnn.functional import (
    adaptive_avg_pool,
    adaptive_max_pool,
    avg_pool,
    feature_pool,
    global_avg_pool,
    global_max_pool,
    lp_pool,
    max_pool,
    max_pool_with_indices,
    max_unpool,
    min_pool,
    spatial_pyramid_pool,
    weighted_pool,
)
from jaxcnn.nn._batch_norm import BatchNorm
from jaxcnn.nn._batch_norm_axis import batch_norm_axis
from jaxcnn.nn._conv import Conv
from jaxcnn.nn._conv_transpose import ConvTranspose
from jaxcnn.nn._gem import GeM
from jaxcnn.nn._local_conv import LocalConv
from jaxcnn.nn._local_response_norm import LocalResponseNorm
from jaxcnn.nn._separable import DepthwiseConv, SeparableConv
from jaxcnn.nn._tiled_conv import TiledConv

__all__ = [
    "BatchNorm",
    "Conv",
    "ConvTranspose",
    "DepthwiseConv",
    "GeM",
    "LocalConv",
    "LocalResponseNorm",
    "SeparableConv",
    "TiledConv",
    "adaptive_avg_pool",
    "adaptive_max_pool",
    "avg_pool",
    "batch_norm_axis",
    "feature_pool",
    "global_avg_pool",
    "global_max_pool",
    "lp_pool",
    "max_pool",
    "max_pool_with_indices",
    "max_unpool",
    "min_pool",
    "spatial_pyramid_pool",
    "weighted_pool",
]

if not TYPE_CHECKING:  # or type checkers would accept every name
    __getattr__ = install_hints(globals())
