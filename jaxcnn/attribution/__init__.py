"""Attributions of a score to the input, and the inputs that single units respond to."""

from typing import TYPE_CHECKING

from jaxcnn._hints import install_hints
from jaxcnn.attribution._ablation import feature_ablation, occlusion
from jaxcnn.attribution._backprop import deconvnet, guided_backprop
from jaxcnn.attribution._effective_field import effective_receptive_field
from jaxcnn.attribution._grad_cam import grad_cam, guided_grad_cam
from jaxcnn.attribution._gradients import (
    IntegratedGradients,
    input_x_gradient,
    integrated_gradients,
    saliency,
    smoothgrad,
)
from jaxcnn.attribution._layer_gradients import LayerGradient, layer_gradients
from jaxcnn.attribution._layers import layer_outputs, layer_shapes
from jaxcnn.attribution._maximize import Optimized, invert_features, maximize_activation
from jaxcnn.attribution._randomization import weight_randomization
from jaxcnn.attribution._top_patches import TopPatches, top_patches
from jaxcnn.attribution._top_projections import top_projections

__all__ = [
    "IntegratedGradients",
    "LayerGradient",
    "Optimized",
    "TopPatches",
    "deconvnet",
    "effective_receptive_field",
    "feature_ablation",
    "grad_cam",
    "guided_backprop",
    "guided_grad_cam",
    "input_x_gradient",
    "integrated_gradients",
    "invert_features",
    "layer_gradients",
    "layer_outputs",
    "layer_shapes",
    "maximize_activation",
    "occlusion",
    "saliency",
    "smoothgrad",
    "top_patches",
    "top_projections",
    "weight_randomization",
]

if not TYPE_CHECKING:  # or type checkers would accept every name
    __getattr__ = install_hints(globals())
