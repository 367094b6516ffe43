"""The published detectors, and the names of their parameters in torchvision."""

import functools
from typing import Any

from jaxcnn.models._faster_rcnn._backbones import VGGMap
from jaxcnn.models._faster_rcnn._heads import DenseHead
from jaxcnn.models._faster_rcnn._model import FasterRCNN
from jaxcnn.models._registry import ModelInfo, TorchNames, register
from jaxcnn.models._resnet import TORCHVISION as RESNET_NAMES

PAPER = "Ren, He, Girshick, Sun: Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks, 2015"


def _names(source: str, *, fpn: str, rpn: str) -> TorchNames:
    """The names in torchvision, with the suffixes of convolutions of the pyramid and of the proposal head."""
    body = {f"backbone/body/{ours}": f"backbone.body.{theirs}" for ours, theirs in RESNET_NAMES.modules.items()}
    stages = range(1, 5)
    return TorchNames(
        source=source,
        modules=body
        | {f"backbone/inner{stage}": f"backbone.fpn.inner_blocks.{stage - 1}{fpn}" for stage in stages}
        | {f"backbone/outer{stage}": f"backbone.fpn.layer_blocks.{stage - 1}{fpn}" for stage in stages}
        | {
            "rpn/conv": f"rpn.head.conv{rpn}",
            "rpn/objectness": "rpn.head.cls_logits",
            "rpn/deltas": "rpn.head.bbox_pred",
            r"head/fc(\d)": r"roi_heads.box_head.fc\1",
            "predictor/classes": "roi_heads.box_predictor.cls_score",
            "predictor/deltas": "roi_heads.box_predictor.bbox_pred",
        },
        head="predictor/(?:classes|deltas)",
        flattened={"head/fc6": (7, 7)},
    )


# The published file of weights has the names of 2020, which torchvision translates while it loads them.
NAMES = (
    _names("torchvision", fpn=".0", rpn=".0.0"),
    _names("torchvision of 2020", fpn="", rpn=""),
)

# The single map of the paper: nine anchors, none of them trained where it crosses the border, RoI max pooling, and
# dense layers of VGG. The sizes of samples are those of sections 3.1.3 and 4 and of Fast R-CNN.
VGG16: dict[str, Any] = {
    "backbone": VGGMap,
    "head": functools.partial(DenseHead, hidden=(4096, 4096), dropout_rate=0.5),
    "anchor_sizes": ((128, 256, 512),),
    "anchor_offset": 0.5,
    "crossing_anchors": False,
    "size_divisor": 16,
    "pooled_maps": 1,
    "pooling": "max",
    "candidates": (6000, 6000),
    "max_proposals": (2000, 300),
    "region_samples": 128,
}

# name: settings, input, classes, parameters, multiply-adds of the layers, published average precision, names
FORMS: dict[str, tuple[dict[str, Any], tuple[int, int, int], int, int, int, str, tuple[TorchNames, ...]]] = {
    "fasterrcnn_resnet50_fpn": (
        {},
        (800, 800, 3),
        91,
        41_755_286,
        134_379_721_216,
        "37.0 % average precision COCO val2017 (torchvision)",
        NAMES,
    ),
    "fasterrcnn_vgg16": (
        VGG16,
        (600, 1000, 3),
        21,
        137_073_622,
        229_141_767_168,
        "69.9 % mean average precision VOC 2007 test (paper, table 3)",
        (),
    ),
}
for _name, (_settings, _shape, _classes, _parameters, _macs, _accuracy, _torch) in FORMS.items():
    register(
        ModelInfo(
            name=_name,
            paper=PAPER,
            input_shape=_shape,
            num_classes=_classes,
            parameters=_parameters,
            macs=_macs,
            accuracy=_accuracy,
            task="detection",
        ),
        functools.partial(FasterRCNN, **_settings),
        torch_names=_torch,
    )
