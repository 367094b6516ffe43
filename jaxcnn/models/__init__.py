"""Networks of the history, in training mode: one file per family, found by name."""

from jaxcnn.models.alexnet import AlexNet, AlexNet2012
from jaxcnn.models.cifar_speedrun import CifarSpeedrun, whitening_kernel
from jaxcnn.models.convnext import ConvNeXt
from jaxcnn.models.efficientnet import EfficientNet
from jaxcnn.models.lenet import LeNet5
from jaxcnn.models.mobilenet import MobileNetV2
from jaxcnn.models.registry import ModelInfo, create, info, list_models
from jaxcnn.models.resnet import ResNet
from jaxcnn.models.summary import Summary, summary
from jaxcnn.models.vgg import VGG

__all__ = [
    "VGG",
    "AlexNet",
    "AlexNet2012",
    "CifarSpeedrun",
    "ConvNeXt",
    "EfficientNet",
    "LeNet5",
    "MobileNetV2",
    "ModelInfo",
    "ResNet",
    "Summary",
    "create",
    "info",
    "list_models",
    "summary",
    "whitening_kernel",
]
