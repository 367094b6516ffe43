"""Object detection in photographs: red cells, white cells and platelets of blood, from random weights.

BCCD has 364 photographs of blood under a microscope (205 for training, 87 for validation, 72 for testing), with many
cells that overlap, and three classes of very different sizes. The photographs are reduced to 320x240 pixels, half their
size. The detector is Faster R-CNN on a feature pyramid over a narrow residual network with batch norm; photographs are
mirrored on both axes and resized by 0.8 to 1.25. Figures are those of the last epoch; the checkpoint ``best`` is that
of the highest average precision at an IoU of 0.5 on the validation split. ``boxes.png`` of a run shows the first test
photographs with detections and true boxes. The settings are not tuned.

run     jaxcnn repeat faster_rcnn_bccd --seeds 3 --set folder=bccd.zip     (a folder or a zip file; see data.voc)
cost    37:23 a run on 1 core
result  0.9979 proposal recall, 0.5714 ap, 0.8985 ap50 over 1 seed
"""

import dataclasses
import functools
from typing import Annotated, Any

import optax

from jaxcnn import augment, data, models, nn
from jaxcnn.train import Experiment, decay_mask, detection, standardize, warmup_cosine, with_schedule

CLASSES = ("RBC", "WBC", "Platelets")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The scalars that people sweep."""

    folder: Annotated[str, "folder or zip file with Annotations, JPEGImages and ImageSets"] = "bccd"
    height: Annotated[int, "height of a photograph as the network reads it; the width is 4 / 3 of it"] = 240
    seed: Annotated[int, "determines initial parameters, order and augmentation"] = 0
    epochs: Annotated[int, "passes over the training photographs"] = 30
    batch_size: Annotated[int, "photographs of a step"] = 4
    width: Annotated[int, "channels of the residual network's stem"] = 16
    channels: Annotated[int, "channels of the pyramid's maps"] = 64
    hidden: Annotated[int, "units of the dense layers"] = 256
    peak_lr: Annotated[float, "learning rate after the warm-up"] = 1e-3
    weight_decay: Annotated[float, "decoupled decay of kernels, not of biases"] = 1e-2
    evaluate_every: Annotated[int, "epochs from one evaluation to the next"] = 10


def detector(config: Config, *, num_classes: int) -> models.FasterRCNN:
    """Faster R-CNN whose anchors range from the size of platelets to that of white cells."""
    scale = config.height / 240
    return models.FasterRCNN(
        num_classes=num_classes,
        backbone=functools.partial(
            models.ResNetPyramid,
            stage_sizes=(2, 2, 2, 2),
            channels=config.channels,
            width=config.width,
            norm=functools.partial(nn.BatchNorm, momentum=0.9),
        ),
        head=functools.partial(models.DenseHead, hidden=(config.hidden, config.hidden)),
        anchor_sizes=tuple((size * scale,) for size in (14, 24, 48, 96, 160)),
        anchor_offset=0.5,
        canonical_size=96 * scale,
        candidates=(500, 500),
        max_proposals=(300, 150),
        anchor_samples=128,
        region_samples=64,
    )


def build(config: Config) -> Experiment:
    """The run that a config describes."""
    streamed = data.voc(
        config.folder,
        class_names=CLASSES,
        image_size=(config.height, 4 * config.height // 3),
        repair=True,
    )
    blood = data.in_memory(streamed)
    total_steps = config.epochs * data.steps_per_epoch(len(blood.train), config.batch_size)
    schedule = warmup_cosine(config.peak_lr, total_steps=total_steps, warmup=0.1)
    model = detector(config, num_classes=len(blood.class_names))

    def optimizer(learning_rate: Any) -> optax.GradientTransformation:
        adam = optax.adamw(learning_rate, weight_decay=config.weight_decay, mask=decay_mask)
        return optax.chain(optax.clip_by_global_norm(5.0), adam)

    return Experiment(
        **detection(model, normalize=standardize(blood.mean, blood.std)),
        data=blood,
        optimizer=with_schedule(optimizer, schedule),
        epochs=config.epochs,
        batch_size=config.batch_size,
        seed=config.seed,
        augment=augment.chain(
            functools.partial(augment.random_scene_scale, scale=(0.8, 1.25)),
            augment.random_scene_flip,
            functools.partial(augment.random_scene_flip, axis="height"),
        ),
        evaluate_every=config.evaluate_every,
        best="ap50",
    )
