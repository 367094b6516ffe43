r"""Small versions of the batch norm paper's networks: Inception on CIFAR-10 (Ioffe and Szegedy 2015, section 4.2).

`network=` is one of the paper's five networks (figure 3), with three blocks and an eighth of the channels:
`inception_2015` without batch norm, `bn_baseline` the same network with it, `bn_x5` and `bn_x30` with 5 and 30 times
its learning rate (without dropout and response normalisation, with a fifth of the weight decay), `bn_x5_sigmoid` with
sigmoids in place of rectifiers; or `inception_sigmoid`, sigmoids without batch norm, of which the paper only states
that it does not learn. All are trained for the same number of steps. The base learning rate is the best one of
`inception_2015` on held-out training images. docs/reports/bn_ablation.md is a report.

run     jaxcnn repeat bn_ablation --seeds 1 (CIFAR-10 prepared by tensorflow-datasets; see docs/your_data.md)
cost    12:37 a run on 1 core
result  inception_2015: 53.39 % test accuracy, 46.61 % error over 1 seed
result  bn_baseline: 63.80 % test accuracy, 36.20 % error over 1 seed
result  bn_x5: 68.73 % test accuracy, 31.27 % error over 1 seed
result  bn_x30: 40.70 % test accuracy, 59.30 % error over 1 seed
result  bn_x5_sigmoid: 63.73 % test accuracy, 36.27 % error over 1 seed
result  inception_sigmoid: 10.00 % test accuracy, 90.00 % error over 1 seed
"""

import dataclasses
from typing import Annotated, Any

import jax
import optax
from flax import linen

from jaxcnn import augment, data, models
from jaxcnn.train import Experiment, classification, decay_mask, standardize, with_schedule

# The factor of each network's learning rate.
SPEEDS = {
    "inception_2015": 1,
    "inception_sigmoid": 1,
    "bn_baseline": 1,
    "bn_x5": 5,
    "bn_x30": 30,
    "bn_x5_sigmoid": 5,
}
VARIANTS = {network: {"network": network} for network in SPEEDS}
SMALL_BLOCKS = tuple(block for block in models.create("bn_inception").blocks if block[0] in ("3a", "3c", "4a"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The scalars that people sweep."""

    network: Annotated[str, "one of those above"] = "inception_2015"
    dataset: Annotated[str, "cifar10, or any other small colour images"] = "cifar10"
    data_dir: Annotated[str | None, "folder of prepared TFDS sets; by default that of TFDS"] = None
    hold_out: Annotated[int, "one training image in this many is held out for validation; 0 holds out none"] = 0
    seed: Annotated[int, "decides initial parameters, order and augmentation"] = 0
    epochs: Annotated[int, "passes over the training images"] = 6
    batch_size: Annotated[int, "images of a step"] = 64
    width: Annotated[float, "of the network, in widths of the paper's"] = 0.125
    learning_rate: Annotated[float, "at the start, of the networks that are not accelerated"] = 0.1
    final_rate: Annotated[float, "at the end, in starting rates; it falls exponentially"] = 0.02
    momentum: Annotated[float, "of stochastic gradient descent"] = 0.9
    weight_decay: Annotated[float, "L2 in the gradient of kernels, of those that are not accelerated"] = 2e-4


def shift_and_flip(key: jax.Array, x: jax.Array) -> jax.Array:
    """Each image moved by up to four pixels, into zeros; half of them mirrored."""
    shift_key, flip_key = jax.random.split(key)
    return augment.random_flip(flip_key, augment.random_shift(shift_key, x, max_pixels=4))


def build(config: Config) -> Experiment:
    """The run that a config describes."""
    if config.network not in SPEEDS:
        raise ValueError(f"network={config.network!r}: there are {', '.join(SPEEDS)}.")
    images = data.hold_out(data.load(config.dataset, data_dir=config.data_dir), one_in=config.hold_out)
    total_steps = config.epochs * data.steps_per_epoch(len(images.train), config.batch_size)
    speed = SPEEDS[config.network]
    schedule = optax.exponential_decay(speed * config.learning_rate, total_steps, config.final_rate)
    options: dict[str, Any] = {"activation": linen.sigmoid} if config.network == "inception_sigmoid" else {}
    model = models.create(
        config.network.replace("_sigmoid", "_2015") if options else config.network,
        num_classes=len(images.class_names),
        stem="3x3",
        blocks=SMALL_BLOCKS,
        width=config.width,
        **options,
    )
    return Experiment(
        **classification(model, normalize=standardize(images.mean, images.std)),
        data=images,
        optimizer=optax.chain(
            optax.add_decayed_weights(config.weight_decay / (5 if speed > 1 else 1), mask=decay_mask),
            with_schedule(optax.sgd, schedule, momentum=config.momentum),
        ),
        epochs=config.epochs,
        batch_size=config.batch_size,
        seed=config.seed,
        augment=augment.on("image", shift_and_flip),
    )
