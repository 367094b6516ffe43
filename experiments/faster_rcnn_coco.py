"""Faster R-CNN with a ResNet-50 and a feature pyramid on COCO 2017: the full recipe, without a result yet.

The recipe is that of torchvision's references: SGD with momentum 0.9 and weight decay 1e-4, a learning rate of 0.02 for
16 images a step after a linear warm-up over 1,000 steps, divided by 10 after 16 and 22 of 26 epochs, and horizontal
mirroring. The backbone starts from a ResNet-50 trained on ImageNet, whose state dict ``backbone`` names; its
norms are frozen, and so are its stem and its first stage. Torchvision states an average precision of 37.0 %, and of
58.5 % at an IoU of 0.5. Images are scaled to fit a square of 1,024 pixels, while torchvision scales the shorter side
to 800 pixels and the longer to at most 1,333: with one shape for all images a step is compiled once.

run     jaxcnn train faster_rcnn_coco --set folder=coco --set backbone=resnet50.pth
cost    not measured: it needs accelerators
result  not trained
"""

import dataclasses
import functools
from pathlib import Path
from typing import Annotated, Any

import jax.numpy as jnp
import optax
from flax import traverse_util

from jaxcnn import augment, data, models
from jaxcnn.train import Experiment, by_pattern, decay_mask, detection, frozen, standardize, with_schedule

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as the backbone expects


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The scalars that people sweep."""

    folder: Annotated[str, "folder with train2017, val2017 and annotations"] = "coco"
    backbone: Annotated[str | None, "file of a ResNet-50's state dict, or none for random weights"] = None
    image_size: Annotated[int, "height and width that images are scaled to fit"] = 1024
    seed: Annotated[int, "determines initial parameters, order and augmentation"] = 0
    epochs: Annotated[int, "passes over the training images"] = 26
    batch_size: Annotated[int, "images of a step"] = 16
    peak_lr: Annotated[float, "learning rate after the warm-up"] = 0.02
    warmup_steps: Annotated[int, "steps of the linear warm-up"] = 1000
    weight_decay: Annotated[float, "of kernels, added to their gradient"] = 1e-4


def with_backbone(path: str | None, variables: dict[str, Any]) -> dict[str, Any]:
    """Variables in which the residual network is a trained one's, with its norms and without its classifier."""
    if path is None:
        return variables
    _, trained = models.load_torch("resnet50", path)
    known = {**traverse_util.flatten_dict(trained["params"]), **traverse_util.flatten_dict(trained["batch_stats"])}
    found = {}
    for collection, layers in variables.items():
        flat = traverse_util.flatten_dict(layers)
        of_body = {name: known[name[2:]] for name in flat if name[:2] == ("backbone", "body")}
        found[collection] = traverse_util.unflatten_dict({**flat, **of_body})
    return found


def build(config: Config) -> Experiment:
    """The run that a config describes."""
    folder = Path(config.folder)
    coco = data.coco(
        {"train": folder / "train2017", "test": folder / "val2017"},
        {
            "train": folder / "annotations" / "instances_train2017.json",
            "test": folder / "annotations" / "instances_val2017.json",
        },
        image_size=config.image_size,
        repair=True,
    )
    steps = data.steps_per_epoch(len(coco.train), config.batch_size)
    drops = {round(epoch / 26 * config.epochs) * steps: 0.1 for epoch in (16, 22)}
    constant = optax.piecewise_constant_schedule(config.peak_lr, drops)

    def schedule(step: Any) -> Any:
        return constant(step) * jnp.minimum((step + 1) / config.warmup_steps, 1)

    model = models.create("fasterrcnn_resnet50_fpn", num_classes=len(coco.class_names))

    def optimizer(learning_rate: Any) -> optax.GradientTransformation:
        decay = optax.add_decayed_weights(config.weight_decay, mask=decay_mask)
        rest = optax.chain(decay, optax.sgd(learning_rate, momentum=0.9))
        return by_pattern({f"backbone/body/{part}_*": frozen() for part in ("stem", "stage1")}, rest)

    return Experiment(
        **detection(model, normalize=standardize(MEAN, STD)),
        data=coco,
        optimizer=with_schedule(optimizer, schedule),
        epochs=config.epochs,
        batch_size=config.batch_size,
        seed=config.seed,
        start=functools.partial(with_backbone, config.backbone),
        augment=augment.random_scene_flip,
        best="ap",
    )
