"""Published networks, for training and inference: one file per family, created by name."""

from typing import TYPE_CHECKING

from jaxcnn._hints import install_hints
from jaxcnn.models._alexnet import AlexNet, AlexNet2012
from jaxcnn.models._bn_inception import PAPER_RUNS, BNInception
from jaxcnn.models._c3d import C3D
from jaxcnn.models._cifar_speedrun import CifarSpeedrun, whitening_kernel
from jaxcnn.models._contrast_net import JARRETT_STAGES, ContrastNet, ContrastStage
from jaxcnn.models._convnetjs import ConvNetJS
from jaxcnn.models._convnext import ConvNeXt
from jaxcnn.models._deeplab import DeepLabV3, FCNResNet
from jaxcnn.models._deeplab_plus import DeepLabV3Plus
from jaxcnn.models._efficientnet import EfficientNet
from jaxcnn.models._faster_rcnn import DenseHead, FasterRCNN, FrozenBatchNorm, ResNetPyramid, VGGMap
from jaxcnn.models._fcn import FCN, params_from_vgg
from jaxcnn.models._googlenet import GoogLeNet
from jaxcnn.models._inception_time import InceptionTime
from jaxcnn.models._inflate import inflate
from jaxcnn.models._lenet import LeNet5
from jaxcnn.models._lenet_1998 import LeNet5of1998, map_loss
from jaxcnn.models._mobilenet import MobileNetV2
from jaxcnn.models._multi_scale_inference import MultiScaleInference
from jaxcnn.models._multiscale import Multiscale
from jaxcnn.models._neocognitron import Neocognitron, Stage
from jaxcnn.models._pilotnet import PilotNet
from jaxcnn.models._refinement import Refinement
from jaxcnn.models._registry import ModelInfo, create, info, list_models
from jaxcnn.models._resnet import ResNet
from jaxcnn.models._series import FCN1D, ResNet1D
from jaxcnn.models._summary import Summary, summary
from jaxcnn.models._train_mode import warn_without_train
from jaxcnn.models._two_stream import CNNM2048, TwoStream, mean_of_scores, stack_flows
from jaxcnn.models._unet import UNet
from jaxcnn.models._vgg import VGG
from jaxcnn.models._video_resnet import VideoResNet
from jaxcnn.models._vit import ViT
from jaxcnn.models._wavenet import WaveNetStack
from jaxcnn.models._weights import load_flax_resnet, load_torch, save_torch

__all__ = [
    "C3D",
    "CNNM2048",
    "FCN",
    "FCN1D",
    "JARRETT_STAGES",
    "PAPER_RUNS",
    "VGG",
    "AlexNet",
    "AlexNet2012",
    "BNInception",
    "CifarSpeedrun",
    "ContrastNet",
    "ContrastStage",
    "ConvNeXt",
    "ConvNetJS",
    "DeepLabV3",
    "DeepLabV3Plus",
    "DenseHead",
    "EfficientNet",
    "FCNResNet",
    "FasterRCNN",
    "FrozenBatchNorm",
    "GoogLeNet",
    "InceptionTime",
    "LeNet5",
    "LeNet5of1998",
    "MobileNetV2",
    "ModelInfo",
    "MultiScaleInference",
    "Multiscale",
    "Neocognitron",
    "PilotNet",
    "Refinement",
    "ResNet",
    "ResNet1D",
    "ResNetPyramid",
    "Stage",
    "Summary",
    "TwoStream",
    "UNet",
    "VGGMap",
    "ViT",
    "VideoResNet",
    "WaveNetStack",
    "create",
    "inflate",
    "info",
    "list_models",
    "load_flax_resnet",
    "load_torch",
    "map_loss",
    "mean_of_scores",
    "params_from_vgg",
    "save_torch",
    "stack_flows",
    "summary",
    "whitening_kernel",
]

warn_without_train(globals()[name] for name in __all__)

if not TYPE_CHECKING:  # or type checkers would accept every name
    __getattr__ = install_hints(globals(), names={name: f'create("{name}")' for name in list_models()})
