"""Networks of the history, in training mode: one file per family, found by name."""

from jaxcnn.models.lenet import LeNet5
from jaxcnn.models.registry import ModelInfo, create, info, list_models
from jaxcnn.models.resnet import ResNet

__all__ = ["LeNet5", "ModelInfo", "ResNet", "create", "info", "list_models"]
