"""LeNet-5 as it was in 1998, output codes and loss included, on MNIST.

As in the paper: the network with its sparse C3, trainable subsampling and fixed codes (``jaxcnn.models``: lenet5_1998),
its initial parameters, pixels from -0.1 (background) to 1.175 (ink), the loss of equation 9, 15 epochs, distortions.
Different: Adam with a decreasing rate on batches of 64 replaces stochastic diagonal Levenberg-Marquardt on one image at
a time; shifts, rotations and scalings replace the paper's distortions; the codes are drawn after its figure 3.
All settings were chosen with ``hold_out=12``, on 5,000 of the training images, without test images.

run     jaxcnn train lenet5_1998_mnist       (MNIST prepared by tensorflow-datasets; see docs/your_data.md)
cost    3:44 a run on 1 core
result  99.33 ± 0.05 % test accuracy, 0.67 ± 0.05 % error over 3 seeds
        (LeCun et al. 1998: 0.95 % error, 0.8 % with distortions)
"""

import dataclasses
import functools
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import optax

from jaxcnn import augment, data, models
from jaxcnn.models import map_loss
from jaxcnn.train import Experiment, classification, to_unit, warmup_cosine, with_schedule


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The scalars that people sweep."""

    dataset: Annotated[str, "mnist, fashion_mnist or digits"] = "mnist"
    data_dir: Annotated[str | None, "folder of prepared TFDS sets; by default that of TFDS"] = None
    hold_out: Annotated[int, "one training image in this many is held out for validation; 0 holds out none"] = 0
    seed: Annotated[int, "decides initial parameters, order and augmentation"] = 0
    epochs: Annotated[int, "passes over the training images"] = 15
    batch_size: Annotated[int, "images of a step"] = 64
    peak_lr: Annotated[float, "learning rate after the warm-up"] = 4e-3
    warmup: Annotated[float, "share of the steps in which the rate rises to its peak"] = 0.05
    floor: Annotated[float, "j of equation 9: wrong classes farther off than about this are let be"] = 1.0
    shift: Annotated[float, "largest random shift in pixels"] = 1.5
    rotate: Annotated[float, "largest random rotation in degrees"] = 8.0
    scale: Annotated[float, "largest random enlargement or reduction, as a fraction"] = 0.1


def to_32(batch: dict[str, Any]) -> dict[str, Any]:
    """Pixels as floats in [0, 1], with a margin that brings them to 32x32."""
    images = to_unit(batch["image"])
    margin = max(32 - images.shape[1], 0) // 2
    return {**batch, "image": jnp.pad(images, ((0, 0), (margin, margin), (margin, margin), (0, 0)))}


def paper_scale(images: jax.Array) -> jax.Array:
    """Pixels from -0.1 to 1.175, "which makes the mean input roughly 0, and the variance roughly 1" (section II.B)."""
    return 1.275 * images - 0.1


def build(config: Config) -> Experiment:
    """The run that a config describes."""
    images = data.hold_out(data.load(config.dataset, data_dir=config.data_dir), one_in=config.hold_out)
    total_steps = config.epochs * data.steps_per_epoch(len(images.train), config.batch_size)
    schedule = warmup_cosine(config.peak_lr, total_steps=total_steps, warmup=config.warmup)
    distort = functools.partial(augment.random_affine, shift=config.shift, rotate=config.rotate, scale=config.scale)
    return Experiment(
        **classification(
            models.create("lenet5_1998", num_classes=len(images.class_names)),
            normalize=paper_scale,
            loss=functools.partial(map_loss, floor=config.floor),
        ),
        data=images,
        optimizer=with_schedule(optax.adam, schedule),
        epochs=config.epochs,
        batch_size=config.batch_size,
        seed=config.seed,
        prepare=to_32,
        augment=augment.on("image", distort),
    )
