r"""A network that was trained on the digits 0 to 4 is fine-tuned on a few labels of each of 5 to 9.

The first command trains on 0 to 4, with all labels; ``repeat`` then fine-tunes on ten labels of each of 5 to 9, which
differ between seeds. Without ``pretrained=`` the same network is trained on those labels from scratch, with the same
number of steps. Settings of both were chosen with ``hold_out=6``, on held-out training images.
docs/reports/finetuning.md has the results with 5, 10 and 50 labels.

run     jaxcnn train finetune_mnist --set digits=01234 --set labels_per_class=0 --set steps=1500 \
            --set batch_size=100 --run-dir runs/zero_to_four
        jaxcnn repeat finetune_mnist --seeds 5 --set pretrained=runs/zero_to_four
cost    0:35 a run on 1 core
result  96.06 ± 0.83 % test accuracy, 3.94 ± 0.83 % error over 5 seeds
"""

import dataclasses
import functools
from pathlib import Path
from typing import Annotated

import jax
import numpy as np
import optax
from flax import linen

from jaxcnn import augment, data, nn
from jaxcnn.train import (
    Experiment,
    RunFolder,
    by_pattern,
    classification,
    decay_mask,
    frozen,
    load_trained,
    standardize,
    start_from,
    warmup_cosine,
    with_schedule,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The scalars that people sweep."""

    digits: Annotated[str, "the digits that are classified"] = "56789"
    labels_per_class: Annotated[int, "training images of each digit; 0 is all of them"] = 10
    pretrained: Annotated[str, "run folder to start from; empty is from scratch"] = ""
    freeze: Annotated[str, "pattern of the pre-trained parameters that stay as they were; empty is none"] = "conv1/*"
    trained_rate: Annotated[float, "learning rate of pre-trained layers, as a share of the head's"] = 0.3
    freeze_batch_stats: Annotated[bool, "normalise by the statistics of the pre-training, and keep them"] = True
    dataset: Annotated[str, "mnist or fashion_mnist"] = "mnist"
    data_dir: Annotated[str | None, "folder of prepared TFDS sets; by default that of TFDS"] = None
    hold_out: Annotated[int, "one training image in this many is held out for validation; 0 holds out none"] = 0
    seed: Annotated[int, "decides initial parameters, which labels, order and augmentation"] = 0
    steps: Annotated[int, "steps of the run, rounded to whole epochs"] = 600
    batch_size: Annotated[int, "images of a step"] = 50
    peak_lr: Annotated[float, "learning rate of what starts fresh: the head, or from scratch everything"] = 1e-2
    weight_decay: Annotated[float, "decoupled decay of kernels, not of biases"] = 1e-2


# The number of steps between evaluations: with few labels, an epoch would otherwise be a single step.
EPOCH_STEPS = 300


class Network(linen.Module):
    """Three convolutions with batch norm and pooling, and a linear head on what is left of the map."""

    num_classes: int

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits of images."""
        for index, features in enumerate((16, 32, 64), start=1):
            x = nn.Conv(features, (3, 3), use_bias=False, name=f"conv{index}")(x)
            x = linen.relu(nn.BatchNorm(use_running_average=not train, name=f"norm{index}")(x))
            x = nn.max_pool(x, (2, 2), strides=2)
        return linen.Dense(self.num_classes, name="head")(x.reshape(len(x), -1))


def some(split: data.Split, digits: str, count: int, seed: int) -> data.Split:
    """The images of some digits, relabelled from 0 on; of each, this number at random, or all of them for 0."""
    chosen = []
    for digit in map(int, digits):
        places = np.flatnonzero(split["label"] == digit)
        chosen.append(np.random.default_rng(seed).permutation(places)[: count or len(places)])
    places = np.concatenate(chosen)
    chosen_split = split.take(places)
    return chosen_split.replace(label=np.searchsorted(sorted(map(int, digits)), chosen_split["label"]))


def repeated(split: data.Split, count: int) -> data.Split:
    """Images repeated, so that an epoch of few images has more steps."""
    return split.take(np.tile(np.arange(len(split)), -(-count // len(split))))


def build(config: Config) -> Experiment:
    """The run that a config describes."""
    images = data.load(config.dataset, data_dir=config.data_dir)
    mean, std = images.mean, images.std
    images = data.hold_out(images, one_in=config.hold_out)
    held_out = images.validation and some(images.validation, config.digits, 0, config.seed)
    labelled = some(images.train, config.digits, config.labels_per_class, config.seed)
    subset = data.Dataset(
        name=f"{images.name} {config.digits}",
        train=repeated(labelled, EPOCH_STEPS * config.batch_size),
        test=some(images.test, config.digits, 0, config.seed),
        validation=held_out,
        class_names=tuple(sorted(config.digits)),
    )
    steps_per_epoch = data.steps_per_epoch(len(subset.train), config.batch_size)
    epochs = max(1, round(config.steps / steps_per_epoch))
    schedule = warmup_cosine(config.peak_lr, total_steps=epochs * steps_per_epoch, warmup=0.1)
    fine_tuned = bool(config.pretrained)
    experiment = Experiment(
        **classification(
            Network(num_classes=len(config.digits)),
            normalize=standardize(mean, std),
            train_mode=not (fine_tuned and config.freeze_batch_stats),
        ),
        data=subset,
        optimizer=with_schedule(optax.adamw, schedule, weight_decay=config.weight_decay, mask=decay_mask),
        epochs=epochs,
        batch_size=config.batch_size,
        seed=config.seed,
        augment=augment.on("image", functools.partial(augment.random_affine, shift=2.0, rotate=10.0, scale=0.1)),
    )
    return from_pretrained(experiment, config, schedule) if fine_tuned else experiment


def from_pretrained(experiment: Experiment, config: Config, schedule: optax.Schedule) -> Experiment:
    """The same run with pretrained layers: some are frozen, the others have a smaller rate than the new head."""
    trained = load_trained(RunFolder.open(Path(config.pretrained)), "last").variables
    slower = optax.adamw(
        lambda step: config.trained_rate * schedule(step),
        weight_decay=config.weight_decay,
        mask=decay_mask,
    )
    still = {config.freeze: frozen()} if config.freeze else {}
    return dataclasses.replace(
        experiment,
        optimizer=by_pattern({"head/*": experiment.optimizer, **still}, slower),
        start=functools.partial(start_from, trained=trained, keep_fresh=["params/head/*"]),
    )
