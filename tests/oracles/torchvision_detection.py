"""The outputs of small and whole detectors of torchvision 0.29.1, for weights and images drawn by NumPy.

``python -m tests.oracles.torchvision_detection`` rewrites ``torchvision_detection.npz``; it requires torchvision. The
function ``stored`` gives the names of the arrays.
"""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.models.torchvision_states import generated

FILE = Path(__file__).with_suffix(".npz")
TINY_CLASSES, TINY_CHANNELS, TINY_HIDDEN, TINY_WIDTH = 4, 8, 16, 4
TINY_SIZES = ((96, 64), (64, 96), (80, 90))  # the true sizes in a batch of 96 x 96
WHOLE_SIZES = ((128, 128), (96, 112))
# Anchors of a quarter of the usual sizes, for small images.
TINY_ANCHORS = ((8,), (20,), (48,))
TRUTH = (
    (np.array([[8, 10, 40, 30], [30, 40, 60, 90], [5, 60, 20, 80.5]], np.float32), np.array([1, 3, 2])),
    (np.zeros((0, 4), np.float32), np.zeros(0, np.int64)),
    (np.array([[10, 10, 70, 75]], np.float32), np.array([2])),
)


@functools.cache
def stored() -> dict[str, np.ndarray]:
    """The arrays of the file by name."""
    with np.load(FILE) as arrays:
        return dict(arrays)


def images(sizes: tuple[tuple[int, int], ...], side: int) -> np.ndarray:
    """Noise within the true sizes and zeros outside, ``(images, side, side, 3)``."""
    x = np.random.default_rng(1).standard_normal((len(sizes), side, side, 3)).astype(np.float32)
    for image, (height, width) in zip(x, sizes, strict=True):
        image[height:], image[:, width:] = 0, 0
    return x


def weights(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Random weights of a detector, with scores that are neither all equal nor all 1."""
    state, deep = generated(shapes), "backbone.body.layer4.2.conv1.weight" in shapes
    of_classes, of_boxes = (0.003, 0.003) if deep else (0.3, 2.0)
    for name, factor in (
        ("rpn.head.cls_logits.weight", 0.02),
        ("rpn.head.bbox_pred.weight", 0.01),
        ("roi_heads.box_predictor.cls_score.weight", of_classes),
        ("roi_heads.box_predictor.bbox_pred.weight", of_boxes),
    ):
        state[name] = state[name] * np.float32(factor)
    return state


def first_ones(count: int, share: float) -> Callable[[Any], Any]:
    """A sampler that takes the first positive and the first negative entries."""
    import torch

    def sample(labels: Any) -> Any:
        masks: tuple[list[Any], list[Any]] = ([], [])
        for each in labels:
            positive, negative = torch.where(each >= 1)[0], torch.where(each == 0)[0]
            positives = min(len(positive), int(count * share))
            for chosen, into in zip((positive[:positives], negative[: count - positives]), masks, strict=True):
                mask = torch.zeros_like(each, dtype=torch.uint8)
                mask[chosen] = 1
                into.append(mask)
        return masks

    return sample


def tiny() -> Any:
    """A detector with two stages of one bottleneck, a sixteenth of the usual width, and few classes."""
    import torch
    from torchvision.models.detection import FasterRCNN
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.backbone_utils import BackboneWithFPN
    from torchvision.models.detection.faster_rcnn import TwoMLPHead
    from torchvision.models.resnet import Bottleneck
    from torchvision.ops import FrozenBatchNorm2d

    class Body(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = torch.nn.Conv2d(3, TINY_WIDTH, 7, 2, 3, bias=False)
            self.bn1 = FrozenBatchNorm2d(TINY_WIDTH)
            self.relu = torch.nn.ReLU()
            self.maxpool = torch.nn.MaxPool2d(3, 2, 1)
            before = TINY_WIDTH
            for stage in (1, 2):
                planes, stride = TINY_WIDTH * 2 ** (stage - 1), 1 if stage == 1 else 2
                across = torch.nn.Sequential(
                    torch.nn.Conv2d(before, 4 * planes, 1, stride, bias=False), FrozenBatchNorm2d(4 * planes)
                )
                block = Bottleneck(before, planes, stride, across, norm_layer=FrozenBatchNorm2d)
                setattr(self, f"layer{stage}", torch.nn.Sequential(block))
                before = 4 * planes

    layers, widths = {"layer1": "0", "layer2": "1"}, [4 * TINY_WIDTH, 8 * TINY_WIDTH]
    backbone = BackboneWithFPN(Body(), layers, widths, TINY_CHANNELS)
    model = FasterRCNN(
        backbone,
        num_classes=TINY_CLASSES,
        rpn_anchor_generator=AnchorGenerator(TINY_ANCHORS, ((0.5, 1.0, 2.0),) * 3),
        box_head=TwoMLPHead(TINY_CHANNELS * 49, TINY_HIDDEN),
        box_detections_per_img=20,
        rpn_batch_size_per_image=64,
        box_batch_size_per_image=32,
    )
    model.roi_heads.box_predictor.cls_score = torch.nn.Linear(TINY_HIDDEN, TINY_CLASSES)
    model.roi_heads.box_predictor.bbox_pred = torch.nn.Linear(TINY_HIDDEN, 4 * TINY_CLASSES)
    return model


def whole() -> Any:
    import torchvision
    from torchvision.ops import FrozenBatchNorm2d

    model = torchvision.models.detection.fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None)

    def freeze(module: Any) -> None:
        for name, child in module.named_children():
            if type(child).__name__ == "BatchNorm2d":
                setattr(module, name, FrozenBatchNorm2d(child.num_features))
            else:
                freeze(child)

    freeze(model)
    return model


def load(model: Any) -> None:
    import torch

    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    model.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in weights(shapes).items()})


def detections(model: Any, sizes: tuple[tuple[int, int], ...], side: int) -> dict[str, np.ndarray]:
    import torch
    from torchvision.models.detection.image_list import ImageList

    model.eval()
    batch = ImageList(torch.from_numpy(images(sizes, side).transpose(0, 3, 1, 2).copy()), list(sizes))
    with torch.no_grad():
        maps = model.backbone(batch.tensors)
        found = model.roi_heads(maps, model.rpn(batch, maps)[0], batch.image_sizes)[0]
    most = model.roi_heads.detections_per_img
    arrays = {
        "boxes": np.zeros((len(found), most, 4), np.float32),
        "labels": np.zeros((len(found), most), np.int32),
        "scores": np.zeros((len(found), most), np.float32),
    }
    for index, each in enumerate(found):
        for name, array in arrays.items():
            array[index, : len(each[name])] = each[name].numpy()
    return arrays


def losses(model: Any) -> dict[str, np.ndarray]:
    """The four losses of the tiny detector, and some gradients of their sum."""
    import torch
    from torchvision.models.detection.image_list import ImageList

    model.train()
    model.rpn.fg_bg_sampler, model.roi_heads.fg_bg_sampler = first_ones(64, 0.5), first_ones(32, 0.25)
    batch = ImageList(torch.from_numpy(images(TINY_SIZES, 96).transpose(0, 3, 1, 2).copy()), list(TINY_SIZES))
    targets = [{"boxes": torch.from_numpy(boxes), "labels": torch.from_numpy(labels)} for boxes, labels in TRUTH]
    maps = model.backbone(batch.tensors)
    proposals, first = model.rpn(batch, maps, targets)
    _, second = model.roi_heads(maps, proposals, batch.image_sizes, targets)
    found = {**first, **second}
    sum(found.values()).backward()
    grads = {name: value.grad.numpy() for name, value in model.named_parameters() if name in GRADIENTS}
    return {name: value.detach().numpy() for name, value in found.items()} | {
        f"gradient {name}": value for name, value in grads.items()
    }


GRADIENTS = ("rpn.head.cls_logits.weight", "backbone.fpn.layer_blocks.1.0.bias", "backbone.body.conv1.weight")


def main() -> None:
    import torch
    from torchvision.models.detection import _utils
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.ops import MultiScaleRoIAlign

    torch.manual_seed(0)
    found: dict[str, np.ndarray] = {}
    generator = AnchorGenerator(((32, 70), (128, 256, 512)), ((0.5, 1.0, 2.0), (0.3, 1.0)))
    steps = [[torch.tensor(4), torch.tensor(8)], [torch.tensor(16), torch.tensor(16)]]
    for index, grid in enumerate(generator.grid_anchors([(2, 3), (3, 2)], steps)):
        found[f"anchors {index}"] = grid.numpy()
    rng = np.random.default_rng(3)
    maps = {str(level): rng.standard_normal((1, 2, 32 >> level, 24 >> level)).astype(np.float32) for level in range(3)}
    low, sides = rng.uniform(-10, 90, (9, 2)), 10 ** rng.uniform(0.3, 2.2, (9, 2))
    boxes = np.concatenate([low, low + sides], -1).astype(np.float32)
    pool = MultiScaleRoIAlign(["0", "1", "2"], 2, 2, canonical_scale=56)
    given = {name: torch.from_numpy(each) for name, each in maps.items()}
    found["regions"] = pool(given, [torch.from_numpy(boxes)], [(128, 96)]).numpy().transpose(0, 2, 3, 1)
    found |= {f"map {name}": each[0].transpose(1, 2, 0) for name, each in maps.items()} | {"region boxes": boxes}
    overlaps = np.round(rng.uniform(0, 1, (4, 60)), 1).astype(np.float32)
    overlaps[1] *= 0.5
    found["overlaps"] = overlaps
    for name, arguments in (("anchors", (0.7, 0.3, True)), ("regions", (0.5, 0.5, False))):
        found[f"matches of {name}"] = _utils.Matcher(*arguments)(torch.from_numpy(overlaps)).numpy()
    for name, model, sizes, side in (("tiny", tiny(), TINY_SIZES, 96), ("whole", whole(), WHOLE_SIZES, 128)):
        load(model)
        found |= {f"{name} {key}": array for key, array in detections(model, sizes, side).items()}
    model = tiny()
    load(model)
    found |= losses(model)
    for name in ("tiny", "whole"):
        print(name, (found[f"{name} scores"] > 0).sum(1), found[f"{name} scores"][:, :4])
    np.savez_compressed(FILE, **found)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
