"""A generator and a discriminator of handwritten digits, as Radford, Metz and Chintala (2015) build and train them.

As in the paper: 5x5 convolutions with stride 2 in place of pooling, and transposed ones in the generator; batch norm
except at the generator's output and the discriminator's input; ReLU and tanh in the generator, leaky ReLU in the
discriminator; initial weights with a standard deviation of 0.02; Adam with a momentum of 0.5; the non-saturating loss.
Different: images of 16x16, so two levels in place of four, and a larger learning rate for a shorter run. With
``conditional=true`` both networks read the class. The collection ``samples`` has images of the same noise at six
moments of the run, which docs/results.md shows. After training, a classifier that was trained on real digits classifies
1,000 samples: the number of classes among them, and, if the class is an input, how often they have this class.

run     jaxcnn repeat dcgan_digits --seeds 3
cost    not known (several starts, or a busy machine), 2 cores
result  plain: 10 ± 0 classes, 0.9806 ± 0 accuracy on real, 0.4093 ± 0.1484 called real over 3 seeds
result  conditional: 0.8813 ± 0.025 accuracy, 10 ± 0 classes, 0.9806 ± 0 accuracy on real over 3 seeds
"""

import dataclasses
import tempfile
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen

from jaxcnn import data, models, nn, train

VARIANTS: dict[str, dict[str, Any]] = {"plain": {}, "conditional": {"conditional": True}}
CLASSES, NOISE, MOMENTS = 10, 100, 6
SMALL = linen.initializers.normal(0.02)
LABELS = {"generator": "generator", "discriminator": "discriminator"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The scalars that people sweep."""

    conditional: Annotated[bool, "both networks are given the class"] = False
    width: Annotated[int, "channels of 8x8 maps; those of 4x4 have twice as many"] = 16
    seed: Annotated[int, "determines initial parameters, order and noise"] = 0
    epochs: Annotated[int, "passes over the training images"] = 30
    batch_size: Annotated[int, "images of a step"] = 64
    learning_rate: Annotated[float, "of both networks"] = 1e-3
    classifier_epochs: Annotated[int, "passes of the classifier that judges the samples"] = 10


class Generator(linen.Module):
    """Images in [-1, 1] from noise."""

    width: int

    @linen.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Images of 16x16."""
        up: dict[str, Any] = {"strides": 2, "transpose_kernel": True, "kernel_init": SMALL}
        x = linen.Dense(4 * 4 * 2 * self.width, kernel_init=SMALL)(x).reshape(-1, 4, 4, 2 * self.width)
        x = linen.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(x))
        x = nn.ConvTranspose(self.width, (5, 5), **up)(x)
        x = linen.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(x))
        return jnp.tanh(nn.ConvTranspose(1, (5, 5), **up)(x))


class Discriminator(linen.Module):
    """The logit of an image being real."""

    width: int

    @linen.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """One logit for each image."""
        x = linen.leaky_relu(nn.Conv(self.width, (5, 5), strides=2, kernel_init=SMALL)(x), 0.2)
        x = nn.Conv(2 * self.width, (5, 5), strides=2, kernel_init=SMALL)(x)
        x = linen.leaky_relu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(x), 0.2)
        return linen.Dense(1, kernel_init=SMALL)(x.reshape(len(x), -1))[:, 0]


class Networks(linen.Module):
    """Both networks. A class is encoded as ten more entries of the noise and ten more channels of the image."""

    width: int
    conditional: bool

    def setup(self) -> None:
        """The parameters and statistics of each are a subtree of its name."""
        self.generator, self.discriminator = Generator(self.width), Discriminator(self.width)

    def generate(self, noise: jax.Array, label: jax.Array, train: bool = True) -> jax.Array:
        """Images in [-1, 1]."""
        given = jax.nn.one_hot(label, CLASSES)
        return self.generator(jnp.concatenate([noise, given], -1) if self.conditional else noise, train)

    def judge(self, image: jax.Array, label: jax.Array, train: bool = True) -> jax.Array:
        """Logits of images being real."""
        given = jnp.broadcast_to(jax.nn.one_hot(label, CLASSES)[:, None, None], (*image.shape[:3], CLASSES))
        return self.discriminator(jnp.concatenate([image, given], -1) if self.conditional else image, train)

    def __call__(self, noise: jax.Array, label: jax.Array) -> jax.Array:
        """Reads both, so that ``init`` makes the variables of both."""
        return self.judge(self.generate(noise, label), label)


def build(config: Config) -> train.Experiment:
    """The run that a config describes."""
    digits = data.load("digits", image_size=16)
    networks: Any = Networks(config.width, config.conditional)
    shown = jax.random.normal(jax.random.key(0), (CLASSES, NOISE)), jnp.arange(CLASSES)

    def init(key: jax.Array, batch: Any) -> dict[str, Any]:
        return {**networks.init(key, *shown), "samples": {"images": jnp.zeros((MOMENTS, CLASSES, 16, 16, 1))}}

    def objective(variables: Any, batch: Any, key: jax.Array) -> tuple[jax.Array, train.Aux]:
        params, stats, label = variables["params"], variables["batch_stats"], batch["label"]

        def apply(params: Any, *arrays: Any, method: str, train: bool = True) -> jax.Array:
            nonlocal stats
            kept = {"params": params, "batch_stats": stats}
            y, updates = networks.apply(kept, *arrays, train, method=method, mutable=["batch_stats"])
            stats = updates["batch_stats"]
            return y

        still = params | {"discriminator": jax.lax.stop_gradient(params["discriminator"])}
        fakes = apply(params, jax.random.normal(key, (len(label), NOISE)), label, method="generate")
        loss_d = jax.nn.softplus(-apply(params, batch["image"], label, method="judge"))
        loss_d += jax.nn.softplus(apply(params, jax.lax.stop_gradient(fakes), label, method="judge"))
        loss_g = jax.nn.softplus(-apply(still, fakes, label, method="judge"))
        sheet = jax.lax.stop_gradient(apply(params, *shown, method="generate", train=False))
        images = variables["samples"]["images"].at[batch["epoch"][0] * MOMENTS // config.epochs].set(sheet)
        updates = {"batch_stats": stats, "samples": {"images": images}}
        return loss_d + loss_g, train.Aux(updates=updates, metrics={"discriminator": loss_d, "generator": loss_g})

    def evaluate(variables: Any, batch: Any) -> dict[str, jax.Array]:
        return {"called_real": networks.apply(variables, batch["image"], batch["label"], False, method="judge") > 0}

    def measure(trained: train.Trained) -> dict[str, Any]:
        noise = jax.random.normal(jax.random.key(config.seed + 1), (1000, NOISE))
        label = np.arange(1000) % CLASSES
        samples = networks.apply(trained.variables, noise, label, False, method="generate")
        judge = train.Experiment(
            **train.classification(models.create("convnetjs_cifar10", num_classes=CLASSES)),
            data=digits,
            optimizer=train.with_schedule(optax.adam, optax.constant_schedule(2e-3)),
            epochs=config.classifier_epochs,
            batch_size=config.batch_size,
        )
        with tempfile.TemporaryDirectory() as folder:
            real = train.fit(judge, f"{folder}/judge").history[-1]
            images = np.rint(127.5 * (np.asarray(samples) + 1)).astype(np.uint8)
            found = train.load(f"{folder}/judge").predict(images)["probabilities"].argmax(-1)
        shares = np.bincount(found, minlength=CLASSES) / len(found)
        given = {"accuracy": np.mean(found == label)} if config.conditional else {}
        return given | {"classes": sum(shares > 0.01), "accuracy_on_real": real["test/accuracy"], "shares": shares}

    rates = {name: train.with_schedule(optax.adam, lambda step: config.learning_rate, b1=0.5) for name in LABELS}
    return train.Experiment(
        init=init,
        objective=objective,
        evaluate=evaluate,
        measure=measure,
        data=digits,
        optimizer=optax.multi_transform(rates, LABELS),
        epochs=config.epochs,
        batch_size=config.batch_size,
        seed=config.seed,
        prepare=lambda batch: {**batch, "image": 2 * train.to_unit(batch["image"]) - 1},
    )
