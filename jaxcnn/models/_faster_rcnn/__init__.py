"""Two-stage detection (Ren et al. 2015): proposals of a map's anchors, and a class and a box for each proposal."""

from jaxcnn.models._faster_rcnn._backbones import FrozenBatchNorm, ResNetPyramid, VGGMap
from jaxcnn.models._faster_rcnn._forms import FORMS
from jaxcnn.models._faster_rcnn._heads import DenseHead
from jaxcnn.models._faster_rcnn._model import FasterRCNN

__all__ = ["FORMS", "DenseHead", "FasterRCNN", "FrozenBatchNorm", "ResNetPyramid", "VGGMap"]
