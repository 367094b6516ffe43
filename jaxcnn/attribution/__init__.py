"""What a network looks at: attributions of a score to the input, and what single units respond to."""

from typing import TYPE_CHECKING

from jaxcnn._hints import install_hints
from jaxcnn.attribution._ablation import feature_ablation, occlusion
from jaxcnn.attribution._backprop import deconvnet, guided_backprop
from jaxcnn.attribution._grad_cam import grad_cam, guided_grad_cam
from jaxcnn.attribution._gradients import (
    IntegratedGradients,
    input_x_gradient,
    integrated_gradients,
    saliency,
    smoothgrad,
)
from jaxcnn.attribution._layers import layer_outputs, layer_shapes
from jaxcnn.attribution._randomization import weight_randomization

__all__ = [
    "IntegratedGradients",
    "deconvnet",
    "feature_ablation",
    "grad_cam",
    "guided_backprop",
    "guided_grad_cam",
    "input_x_gradient",
    "integrated_gradients",
    "layer_outputs",
    "layer_shapes",
    "occlusion",
    "saliency",
    "smoothgrad",
    "weight_randomization",
]

if not TYPE_CHECKING:  # or type checkers would accept every name
    __getattr__ = install_hints(globals())
