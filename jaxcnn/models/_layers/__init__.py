"""Parts that several families of networks share: blocks, heads, initializers and checks of the input."""

from jaxcnn.models._layers._dropout import dropout_layer
from jaxcnn.models._layers._grids import as_series, as_videos
from jaxcnn.models._layers._head import check_classes, classifier, require_classes
from jaxcnn.models._layers._images import as_images, check_images
from jaxcnn.models._layers._inception import Branches, ConvUnit, scaled
from jaxcnn.models._layers._initializers import he_fan_out, torch_bias, torch_kernel
from jaxcnn.models._layers._lenet_bitmaps import DIGITS
from jaxcnn.models._layers._masked import as_series_mask, masked, masked_mean
from jaxcnn.models._layers._stages import per_stage
from jaxcnn.models._layers._stochastic_depth import StochasticDepth
from jaxcnn.models._layers._widths import scaled_width

__all__ = [
    "DIGITS",
    "Branches",
    "ConvUnit",
    "StochasticDepth",
    "as_images",
    "as_series",
    "as_series_mask",
    "as_videos",
    "check_classes",
    "check_images",
    "classifier",
    "dropout_layer",
    "he_fan_out",
    "masked",
    "masked_mean",
    "per_stage",
    "require_classes",
    "scaled",
    "scaled_width",
    "torch_bias",
    "torch_kernel",
]
