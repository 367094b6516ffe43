"""Object detection: a small Faster R-CNN, for digits on photographs.

Each 64x64 scene is a photograph of CIFAR-10 with one to four MNIST digits, half transparent and in random colours
(``data.digit_scenes``). The detector is that of Ren et al. (2015) with torchvision's rules: a backbone of four
convolutions with a total stride of 8, three square anchors at each position, proposals, RoIAlign, and two dense layers.
COCO's average precision, that at an IoU of 0.5, and the fraction of the objects that proposals overlap are recorded.
The variant ``shuffled`` is a control that is trained with the boxes of other scenes. The settings are not tuned.

run     jaxcnn repeat faster_rcnn_digits --seeds 3     (both sets prepared by tensorflow-datasets)
        jaxcnn repeat faster_rcnn_digits --seeds 1 --variant boxes
cost    16:07 a run on 1 core
result  boxes: 0.9991 ± 0.0004 proposal recall, 0.8232 ± 0.0008 ap, 0.9879 ± 0.0001 ap50 over 2 seeds
result  shuffled: 0.9255 proposal recall, 0.0104 ap, 0.0345 ap50 over 1 seed
"""

import dataclasses
import functools
from typing import Annotated, Any

import jax
import numpy as np
import optax
from flax import linen

from jaxcnn import data, models, nn
from jaxcnn.functional import max_pool
from jaxcnn.train import Experiment, decay_mask, detection, standardize, warmup_cosine, with_schedule

VARIANTS: dict[str, dict[str, Any]] = {"boxes": {}, "shuffled": {"shuffled": True}}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The scalars that people sweep."""

    digits: Annotated[str, "mnist, fashion_mnist or digits"] = "mnist"
    photographs: Annotated[str, "background images: cifar10, or any other images"] = "cifar10"
    data_dir: Annotated[str | None, "folder of prepared TFDS sets; by default that of TFDS"] = None
    hold_out: Annotated[int, "one training image in this many is held out for validation; 0 holds out none"] = 0
    shuffled: Annotated[bool, "train with the boxes of other scenes, as a control"] = False
    scenes: Annotated[int, "training scenes"] = 16000
    test_scenes: Annotated[int, "scenes that the detector is measured on"] = 500
    seed: Annotated[int, "determines initial parameters and order; scenes are the same for every seed"] = 0
    epochs: Annotated[int, "passes over the training scenes"] = 4
    batch_size: Annotated[int, "scenes of a step"] = 16
    width: Annotated[int, "channels of the first convolution"] = 24
    hidden: Annotated[int, "units of the dense layers"] = 256
    peak_lr: Annotated[float, "learning rate after the warm-up"] = 2e-3
    weight_decay: Annotated[float, "decoupled decay of kernels, not of biases"] = 1e-2
    evaluate_every: Annotated[int, "epochs from one evaluation to the next"] = 1


class Backbone(linen.Module):
    """Four convolutions with batch norm, and a pool after each of the first three."""

    width: int
    dtype: Any = None

    @linen.compact
    def __call__(self, x: jax.Array, train: bool) -> list[jax.Array]:
        """One map of stride 8."""
        for level, factor in enumerate((1, 2, 4, 4)):
            x = nn.Conv(factor * self.width, (3, 3), use_bias=False, dtype=self.dtype, name=f"conv{level}")(x)
            norm = nn.BatchNorm(use_running_average=not train, momentum=0.9, dtype=self.dtype, name=f"norm{level}")
            x = linen.relu(norm(x))
            if level < 3:
                x = max_pool(x, (2, 2), strides=2)
        return [x]


def detector(config: Config, *, num_classes: int) -> models.FasterRCNN:
    """Faster R-CNN for scenes of 64 pixels."""
    return models.FasterRCNN(
        num_classes=num_classes,
        backbone=functools.partial(Backbone, width=config.width),
        head=functools.partial(models.DenseHead, hidden=(config.hidden, config.hidden)),
        anchor_sizes=((16, 22, 28),),
        anchor_ratios=(1.0,),
        anchor_offset=0.5,
        size_divisor=8,
        pooled_maps=1,
        pool_size=5,
        candidates=(192, 192),
        max_proposals=(64, 32),
        anchor_samples=64,
        region_samples=32,
        max_detections=20,
    )


def build(config: Config) -> Experiment:
    """The run that a config describes."""
    sources = [
        data.hold_out(data.load(name, data_dir=config.data_dir), one_in=config.hold_out)
        for name in (config.digits, config.photographs)
    ]
    scenes = data.digit_scenes(*sources, size=64, train_count=config.scenes, test_count=config.test_scenes)
    if config.shuffled:
        moved = {name: np.roll(scenes.train[name], 1, axis=0) for name in ("boxes", "box_label")}
        scenes = dataclasses.replace(scenes, train=scenes.train.replace(**moved))
    total_steps = config.epochs * data.steps_per_epoch(len(scenes.train), config.batch_size)
    schedule = warmup_cosine(config.peak_lr, total_steps=total_steps, warmup=0.1)
    model = detector(config, num_classes=len(scenes.class_names))
    return Experiment(
        **detection(model, normalize=standardize(scenes.mean, scenes.std)),
        data=scenes,
        optimizer=with_schedule(optax.adamw, schedule, weight_decay=config.weight_decay, mask=decay_mask),
        epochs=config.epochs,
        batch_size=config.batch_size,
        seed=config.seed,
        evaluate_every=config.evaluate_every,
        best="ap",
    )
