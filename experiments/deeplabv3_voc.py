"""DeepLabv3 with a ResNet-50 on Pascal VOC 2012: the full recipe of torchvision, without a result yet.

The recipe is that of torchvision's references: SGD with momentum 0.9 and polynomial decay of power 0.9, images resized
by 0.5 to 2, cropped to 480x480 and mirrored, and an auxiliary head on the third stage whose loss has a weight of 0.5.
The backbone starts from a ResNet-50 trained on ImageNet, whose state dict ``backbone`` names; without it the network
starts from random weights. Torchvision trains on the images of COCO that have VOC's classes, and states a mean IoU of
66.4 % on those of the validation split; here the training and validation images are VOC's own.

run     jaxcnn train deeplabv3_voc --set folder=VOCdevkit/VOC2012 --set backbone=resnet50.pth
cost    not measured: it needs an accelerator
result  not trained
"""

import dataclasses
import functools
from typing import Annotated, Any

import optax

from jaxcnn import augment, data, models
from jaxcnn.train import Experiment, decay_mask, segmentation, standardize, with_schedule

CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog"),
    *("horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as the backbone expects


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The scalars that people sweep."""

    folder: Annotated[str, "folder with Annotations, JPEGImages, SegmentationClass and ImageSets"] = "VOCdevkit/VOC2012"
    train_list: Annotated[str, "list of ImageSets/Segmentation to learn from"] = "train"
    test_list: Annotated[str, "list to evaluate on"] = "val"
    backbone: Annotated[str | None, "file of a ResNet-50's state dict, or none for random weights"] = None
    crop: Annotated[int, "height and width of training images"] = 480
    seed: Annotated[int, "determines initial parameters, order and augmentation"] = 0
    epochs: Annotated[int, "passes over the training images"] = 30
    batch_size: Annotated[int, "images of a step"] = 16
    peak_lr: Annotated[float, "learning rate at the start"] = 0.01
    weight_decay: Annotated[float, "of kernels, added to their gradient"] = 1e-4
    aux_weight: Annotated[float, "weight of the loss of the auxiliary head"] = 0.5


def with_backbone(path: str | None, variables: dict[str, Any]) -> dict[str, Any]:
    """Variables in which the backbone is a trained ResNet-50's, without its classifier."""
    if path is None:
        return variables
    _, trained = models.load_torch("resnet50", path)
    found = dict(variables)
    for collection, layers in variables.items():
        backbone = {name: trained[collection][name] for name in layers["backbone"]}
        found[collection] = {**layers, "backbone": backbone}
    return found


def build(config: Config) -> Experiment:
    """The run that a config describes."""
    voc = data.voc(
        config.folder,
        image_set="Segmentation",
        splits={"train": config.train_list, "test": config.test_list},
        class_names=CLASSES,
        repair=True,
    )
    total_steps = config.epochs * data.steps_per_epoch(len(voc.train), config.batch_size)
    schedule = optax.polynomial_schedule(config.peak_lr, 0.0, power=0.9, transition_steps=total_steps)
    model = models.create("deeplabv3_resnet50", num_classes=len(voc.class_names), aux_head=True)

    def optimizer(learning_rate: Any) -> optax.GradientTransformation:
        decay = optax.add_decayed_weights(config.weight_decay, mask=decay_mask)
        return optax.chain(decay, optax.sgd(learning_rate, momentum=0.9))

    return Experiment(
        **segmentation(model, heads={"aux": config.aux_weight}, normalize=standardize(MEAN, STD)),
        data=voc,
        optimizer=with_schedule(optimizer, schedule),
        epochs=config.epochs,
        batch_size=config.batch_size,
        seed=config.seed,
        start=functools.partial(with_backbone, config.backbone),
        augment=augment.chain(
            functools.partial(augment.random_scene_scale, scale=(0.5, 2.0), size=config.crop),
            augment.random_scene_flip,
        ),
        best="mean_iou",
    )
