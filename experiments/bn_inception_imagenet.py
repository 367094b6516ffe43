"""The five networks of the batch norm paper on ImageNet (Ioffe and Szegedy 2015, section 4.2, figures 2 and 3).

`network=` is `inception_2015` (no batch norm), `bn_baseline` (the same with it), `bn_x5` and `bn_x30` (5 and 30 times
the learning rate, without dropout and response normalisation), or `bn_x5_sigmoid`. Batches of 32, SGD with momentum;
learning rate and steps are the paper's unless set. Values that the paper does not give are those of GoogLeNet: momentum
0.9, a learning rate that decreases by 4 % every 8 epochs, weight decay 2e-4. For BN-x5 and BN-x30 the rate decreases
six times as fast and the weight decay is a fifth, as in the paper. Photometric distortions, which the paper reduces by
an amount that it does not give, are left out.

run     jaxcnn train bn_inception_imagenet --set network=bn_x30             (ImageNet prepared by tensorflow-datasets)
cost    not run; a test traces all five
result  not run; published, steps to 72.2 % and highest accuracy: inception_2015 31.0 million, 72.2 %; bn_baseline
        13.3 million, 72.7 %; bn_x5 2.1 million, 73.0 %; bn_x30 2.7 million, 74.8 %; bn_x5_sigmoid never, 69.8 %
"""

import dataclasses
import math
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxcnn import augment, data, models
from jaxcnn.models import PAPER_RUNS
from jaxcnn.train import Experiment, classification, decay_mask, standardize, with_schedule

# In millions. The paper gives no number of steps for the sigmoid network; its curve ends at about this number.
SIGMOID_STEPS = 5.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The scalars that people sweep."""

    network: Annotated[str, "inception_2015, bn_baseline, bn_x5, bn_x30 or bn_x5_sigmoid"] = "bn_x30"
    dataset: Annotated[str, "imagenet2012 or another prepared TFDS set, or folder:/path"] = "imagenet2012"
    data_dir: Annotated[str | None, "folder of prepared TFDS sets; by default that of TFDS"] = None
    max_corrupt: Annotated[int, "number of unreadable images that are left out; more are an error"] = 100
    host_size: Annotated[int, "height and width that images are brought to before the device sees them"] = 256
    image_size: Annotated[int, "height and width that the network sees"] = 224
    seed: Annotated[int, "decides initial parameters, order and augmentation"] = 0
    batch_size: Annotated[int, "images of a step"] = 32
    epochs: Annotated[int | None, "passes over the training images; by default the paper's steps"] = None
    learning_rate: Annotated[float | None, "at the start; by default the paper's"] = None
    momentum: Annotated[float, "of stochastic gradient descent"] = 0.9
    weight_decay: Annotated[float | None, "L2 in the gradient of kernels; by default as described above"] = None
    bfloat16: Annotated[bool, "compute in bfloat16; parameters, statistics and loss stay in float32"] = True


def middle(images: jax.Array, size: int) -> jax.Array:
    """The central square of a size; images of this size are unchanged."""
    top, left = ((length - size) // 2 for length in images.shape[1:3])
    return images[:, top : top + size, left : left + size]


def build(config: Config) -> Experiment:
    """The run that a config describes."""
    if config.network not in PAPER_RUNS:
        raise ValueError(f"network={config.network!r}: there are {', '.join(PAPER_RUNS)}.")
    paper = PAPER_RUNS[config.network]
    images = data.stream(
        config.dataset,
        data_dir=config.data_dir,
        image_size=config.host_size,
        resize="cover",
        max_corrupt=config.max_corrupt,
    )
    steps_per_epoch = data.steps_per_epoch(len(images.train), config.batch_size)
    epochs = config.epochs or math.ceil((paper.steps or SIGMOID_STEPS) * 1e6 / steps_per_epoch)
    accelerated = config.network.startswith("bn_x")
    decay = (4e-5 if accelerated else 2e-4) if config.weight_decay is None else config.weight_decay
    rate = paper.learning_rate if config.learning_rate is None else config.learning_rate
    schedule = optax.exponential_decay(rate, round(8 * steps_per_epoch / (6 if accelerated else 1)), 0.96)
    standard = standardize(np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225]))

    def distort(key: jax.Array, x: jax.Array) -> jax.Array:
        crop_key, flip_key = jax.random.split(key)
        return augment.random_flip(flip_key, augment.random_resized_crop(crop_key, x, size=config.image_size))

    model = models.create(
        config.network, num_classes=len(images.class_names), dtype=jnp.bfloat16 if config.bfloat16 else None
    )
    return Experiment(
        **classification(model, normalize=lambda x: standard(middle(x, config.image_size))),
        data=images,
        optimizer=optax.chain(
            optax.add_decayed_weights(decay, mask=decay_mask),
            with_schedule(optax.sgd, schedule, momentum=config.momentum),
        ),
        epochs=epochs,
        batch_size=config.batch_size,
        seed=config.seed,
        augment=augment.on("image", distort),
    )
