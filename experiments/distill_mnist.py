"""A small student learns MNIST from 1,000 images: from their labels alone, or from a teacher's soft targets as well.

The teacher is a larger network that is trained on all images, with augmentation. Its probabilities at a temperature of
4 are the targets of the student at the same temperature. This loss, times the temperature squared, is added to the
usual loss with a small weight (Hinton, Vinyals and Dean 2015). The settings were chosen with ``hold_out=6``, without
test images.

run     jaxcnn train distill_mnist --set network=teacher --set images=0 --set epochs=2 --run-dir runs/mnist_teacher
        jaxcnn repeat distill_mnist --seeds 3            (MNIST prepared by tensorflow-datasets; see docs/your_data.md)
cost    not known (several starts, or a busy machine), 2 cores
result  distilled: 97.01 ± 0.08 % test accuracy, 2.99 ± 0.08 % error over 3 seeds
result  alone: 95.47 ± 0.33 % test accuracy, 4.53 ± 0.33 % error over 3 seeds
"""

import dataclasses
import functools
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen

from jaxcnn import augment, data, nn, train

VARIANTS: dict[str, dict[str, Any]] = {"distilled": {"teacher": "runs/mnist_teacher"}, "alone": {}}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The scalars that people sweep."""

    network: Annotated[Literal["student", "teacher"], "which network is trained"] = "student"
    teacher: Annotated[str, "run folder of a teacher; empty is without one"] = ""
    images: Annotated[int, "training images, drawn by the seed; 0 is all of them"] = 1000
    temperature: Annotated[float, "by which the logits of both networks are divided"] = 4.0
    labels_share: Annotated[float, "share of the loss of the labels, where there is a teacher"] = 0.1
    data_dir: Annotated[str | None, "folder of prepared TFDS sets; by default that of TFDS"] = None
    hold_out: Annotated[int, "one training image in this many is held out for validation; 0 holds out none"] = 0
    seed: Annotated[int, "determines the images, initial parameters, order and augmentation"] = 0
    epochs: Annotated[int, "passes over the training images"] = 60
    batch_size: Annotated[int, "images of a step"] = 50
    peak_lr: Annotated[float, "learning rate after the warm-up"] = 5e-3
    shift: Annotated[int, "largest random shift in pixels; both networks learn with it"] = 2


class Network(linen.Module):
    """Convolutions with stride 2 and ``widths`` output channels, and a linear head."""

    widths: tuple[int, ...]

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits of images."""
        for index, width in enumerate(self.widths, 1):
            x = linen.relu(nn.Conv(width, (5, 5), strides=2, name=f"conv{index}")(x))
        return linen.Dense(10, name="head")(x.reshape(len(x), -1))


def build(config: Config) -> train.Experiment:
    """The run that a config describes."""
    mnist = data.hold_out(data.load("mnist", data_dir=config.data_dir), one_in=config.hold_out)
    if config.images:
        chosen = np.random.default_rng(config.seed).permutation(len(mnist.train))[: config.images]
        mnist = dataclasses.replace(mnist, train=mnist.train.take(chosen))
    model = Network({"student": (4, 8), "teacher": (32, 64)}[config.network])
    functions = train.classification(model)
    total_steps = config.epochs * data.steps_per_epoch(len(mnist.train), config.batch_size)
    schedule = train.warmup_cosine(config.peak_lr, total_steps=total_steps, warmup=0.1)
    return train.Experiment(
        **(functions | {"objective": distilled(model, config, mnist.train)} if config.teacher else functions),
        data=mnist,
        optimizer=train.with_schedule(optax.adam, schedule),
        epochs=config.epochs,
        batch_size=config.batch_size,
        seed=config.seed,
        augment=augment.on("image", functools.partial(augment.random_shift, max_pixels=config.shift)),
        evaluate_every=config.epochs,
    )


def distilled(model: Any, config: Config, split: data.Split) -> Any:
    """The objective of a student: the teacher's probabilities of each image at the temperature, and its label."""
    probabilities = train.load(config.teacher).predict(split["image"])["probabilities"]
    soft = jax.nn.softmax(jnp.log(jnp.maximum(probabilities, 1e-30)) / config.temperature)

    def objective(variables: Any, batch: Any, key: jax.Array) -> tuple[jax.Array, train.Aux]:
        logits = model.apply(variables, batch["image"], train=True)
        labels = optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"])
        teacher = optax.softmax_cross_entropy(logits / config.temperature, soft[batch["index"]])
        loss = config.labels_share * labels + (1 - config.labels_share) * config.temperature**2 * teacher
        return loss, train.Aux(metrics={"accuracy": logits.argmax(-1) == batch["label"]})

    return objective
