"""Flax Linen modules: each makes parameters and calls one function of ``jaxcnn.functional``."""

from jaxcnn.functional.max_pool import max_pool, max_pool_with_indices, min_pool
from jaxcnn.functional.pool import avg_pool
from jaxcnn.nn.batch_norm import BatchNorm
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
    "avg_pool",
    "max_pool",
    "max_pool_with_indices",
    "min_pool",
]
