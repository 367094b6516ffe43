"""Flax Linen modules: each makes parameters and calls one function of ``jaxcnn.functional``."""

from typing import TYPE_CHECKING

from jaxcnn._hints import install_hints
from jaxcnn.functional.adaptive_pool import (
    adaptive_avg_pool,
    adaptive_max_pool,
    global_avg_pool,
    global_max_pool,
    spatial_pyramid_pool,
)
from jaxcnn.functional.feature_pool import feature_pool
from jaxcnn.functional.lp_pool import lp_pool
from jaxcnn.functional.max_pool import max_pool, max_pool_with_indices, min_pool
from jaxcnn.functional.pool import avg_pool
from jaxcnn.functional.unpool import max_unpool
from jaxcnn.functional.weighted_pool import weighted_pool
from jaxcnn.nn.batch_norm import BatchNorm
from jaxcnn.nn.batch_norm_axis import batch_norm_axis
from jaxcnn.nn.conv import Conv
from jaxcnn.nn.conv_transpose import ConvTranspose
from jaxcnn.nn.local_conv import LocalConv
from jaxcnn.nn.local_response_norm import LocalResponseNorm
from jaxcnn.nn.separable import DepthwiseConv, SeparableConv
from jaxcnn.nn.tiled_conv import TiledConv

__all__ = [
    "BatchNorm",
    "Conv",
    "ConvTranspose",
    "DepthwiseConv",
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
