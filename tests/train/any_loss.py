"""Experiments of many kinds, written as a user would, with public names only."""

import dataclasses
import runpy
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen

from jaxcnn import augment, data, models, nn, train

COUNT = 48


def digits(**arrays: np.ndarray) -> data.Dataset:
    """A few small digits, with the labels of the training digits replaced or joined by other arrays."""
    whole = data.load("digits", image_size=8)
    return dataclasses.replace(
        whole,
        train=whole.train.take(slice(COUNT)).replace(**{name: array[:COUNT] for name, array in arrays.items()}),
        test=whole.test.take(slice(20)).replace(**{name: array[-20:] for name, array in arrays.items()}),
    )


class WithHeads(linen.Module):
    """A network that returns its logits, and those of an auxiliary head on the first map."""

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False) -> tuple[jax.Array, jax.Array]:
        x = linen.relu(nn.Conv(8, (3, 3), use_bias=False, name="conv1")(x))
        early = linen.Dense(10, name="auxiliary")(x.mean((1, 2)))
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9, name="norm")(x)
        x = linen.Dropout(0.1, deterministic=not train)(x)
        return linen.Dense(10, name="head")(x.reshape(len(x), -1)), early


def auxiliary_heads() -> train.Experiment:
    """A classifier whose loss adds 0.3 of the loss of its auxiliary head."""
    model = WithHeads()

    def objective(variables: Any, batch: Any, key: jax.Array) -> tuple[jax.Array, train.Aux]:
        (logits, early), updates = model.apply(
            variables, batch["image"], train=True, mutable=["batch_stats"], rngs={"dropout": key}
        )
        losses = [optax.softmax_cross_entropy_with_integer_labels(each, batch["label"]) for each in (logits, early)]
        accuracy = logits.argmax(-1) == batch["label"]
        return losses[0] + 0.3 * losses[1], train.Aux(updates=updates, metrics={"accuracy": accuracy})

    def evaluate(variables: Any, batch: Any) -> dict[str, jax.Array]:
        logits, _ = model.apply(variables, batch["image"])
        return {
            "loss": optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"]),
            "accuracy": logits.argmax(-1) == batch["label"],
        }

    return train.Experiment(
        init=lambda key, batch: model.init(key, batch["image"]),
        objective=objective,
        evaluate=evaluate,
        data=digits(),
        optimizer=train.with_schedule(optax.sgd, optax.linear_schedule(0.2, 0.0, 40), momentum=0.9),
        epochs=3,
        batch_size=16,
        augment=augment.on("image", lambda key, x: x + 0.05 * jax.random.normal(key, x.shape, x.dtype)),
        ema_decay=0.9,
    )


class Generator(linen.Module):
    """A generator of images from noise, with its own batch statistics."""

    @linen.compact
    def __call__(self, noise: jax.Array, train: bool = False) -> jax.Array:
        x = linen.Dense(4 * 4 * 4, use_bias=False)(noise)
        x = linen.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)).reshape(-1, 4, 4, 4)
        return linen.sigmoid(nn.ConvTranspose(1, (2, 2), strides=2)(x))


class Discriminator(linen.Module):
    """A discriminator, which returns a logit for real images."""

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        x = linen.leaky_relu(nn.Conv(4, (3, 3), strides=2)(x))
        return linen.Dense(1)(x.reshape(len(x), -1))[:, 0]


def two_networks() -> train.Experiment:
    """A generator and a discriminator: one dict of variables, one objective, two optimizers."""
    generator, discriminator = Generator(), Discriminator()

    def init(key: jax.Array, batch: Any) -> dict[str, Any]:
        first, second = jax.random.split(key)
        made = generator.init(first, jnp.zeros((1, 8)))
        judged = discriminator.init(second, batch["image"])
        return {
            "params": {"generator": made["params"], "discriminator": judged["params"]},
            "batch_stats": made["batch_stats"],
        }

    def objective(variables: Any, batch: Any, key: jax.Array) -> tuple[jax.Array, train.Aux]:
        params = variables["params"]
        noise = jax.random.normal(key, (len(batch["image"]), 8))
        fakes, updates = generator.apply(
            {"params": params["generator"], "batch_stats": variables["batch_stats"]},
            noise,
            train=True,
            mutable=["batch_stats"],
        )

        def judged(x: jax.Array, weights: Any) -> jax.Array:
            return discriminator.apply({"params": weights}, x)  # type: ignore[return-value]

        real = judged(batch["image"], params["discriminator"])
        fake = judged(jax.lax.stop_gradient(fakes), params["discriminator"])
        fooled = judged(fakes, jax.lax.stop_gradient(params["discriminator"]))
        loss_d = jax.nn.softplus(-real) + jax.nn.softplus(fake)
        loss_g = jax.nn.softplus(-fooled)
        return loss_d + loss_g, train.Aux(updates=updates, metrics={"discriminator": loss_d, "generator": loss_g})

    def evaluate(variables: Any, batch: Any) -> dict[str, jax.Array]:
        logits = discriminator.apply({"params": variables["params"]["discriminator"]}, batch["image"])
        return {"real": jax.nn.sigmoid(logits)}  # type: ignore[arg-type]

    optimizers = {
        name: train.with_schedule(optax.adam, optax.constant_schedule(rate), b1=0.5)
        for name, rate in (("generator", 2e-3), ("discriminator", 1e-3))
    }
    return train.Experiment(
        init=init,
        objective=objective,
        evaluate=evaluate,
        data=digits(),
        optimizer=optax.multi_transform(optimizers, {"generator": "generator", "discriminator": "discriminator"}),
        epochs=3,
        batch_size=16,
        best="real",
    )


def dcgan(epochs: int = 3, seed: int = 0) -> train.Experiment:
    """``dcgan_digits`` with narrow networks and few images, which are not evaluated by a classifier."""
    file = runpy.run_path(str(Path(__file__).parent.parent.parent / "experiments" / "dcgan_digits.py"))
    experiment = file["build"](file["Config"](width=2, epochs=epochs, batch_size=16, seed=seed))
    whole = experiment.data
    few = dataclasses.replace(whole, train=whole.train.take(slice(COUNT)), test=whole.test.take(slice(20)))
    few_examples: train.Experiment = dataclasses.replace(experiment, data=few, measure=None, best="called_real")
    return few_examples


def two_views() -> train.Experiment:
    """NT-Xent without labels: two noisy views of an image are similar, and views of different images are not."""
    model = models.create("lenet5", num_classes=6)
    whole = data.load("digits", image_size=32)
    images = [data.Split(image=split["image"][:COUNT]) for split in (whole.train, whole.test)]

    def contrast(variables: Any, batch: Any) -> jax.Array:
        z = model.apply(variables, jnp.concatenate([batch["view1"], batch["view2"]]), train=False)
        z = z / jnp.linalg.norm(z, axis=-1, keepdims=True)
        count = len(batch["view1"])
        similar = z @ z.T / 0.5 - 1e9 * jnp.eye(2 * count)
        other = jnp.roll(jnp.arange(2 * count), count)
        losses = optax.softmax_cross_entropy_with_integer_labels(similar, other)
        return losses.reshape(2, count).mean(0)

    def views(key: jax.Array, batch: Any) -> dict[str, Any]:
        noise = jax.random.normal(key, (2, *batch["image"].shape), batch["image"].dtype)
        return {"view1": batch["image"] + 0.1 * noise[0], "view2": batch["image"] + 0.1 * noise[1]}

    return train.Experiment(
        init=lambda key, batch: model.init(key, batch["image"], train=False),
        objective=lambda variables, batch, key: (contrast(variables, batch), train.Aux()),
        evaluate=lambda variables, batch: {"norm": jnp.abs(model.apply(variables, batch["image"])).mean(-1)},
        predict=lambda variables, batch: model.apply(variables, batch["image"], train=False),
        data=data.Dataset(name="unlabelled", train=images[0], test=images[1]),
        optimizer=optax.adam(1e-3),
        epochs=3,
        batch_size=16,
        augment=views,
    )


class Wide(linen.Module):
    """A network that returns one number for a time series."""

    @linen.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        x = linen.relu(nn.Conv(4, (3,), name="conv")(x))
        return linen.Dense(1, name="head")(x.reshape(len(x), -1))[:, 0]


def numbers() -> train.Experiment:
    """Regression of time series, with an error over the whole split."""
    draw = np.random.default_rng(0)
    series = draw.normal(size=(COUNT + 20, 12, 1)).astype(np.float32)
    target = series[:, :6, 0].sum(1) - 0.5 * series[:, 6:, 0].sum(1)
    whole = data.Split(series=series, target=target)

    def explained(outputs: Any, targets: Any) -> dict[str, float]:
        error = np.mean((outputs["target"] - targets["target"]) ** 2)
        return {"r2": 1 - error / np.var(targets["target"])}

    return train.Experiment(
        **train.regression(Wide(), source="series"),
        summarize=explained,
        data=data.Dataset(name="series", train=whole.take(slice(COUNT)), test=whole.take(slice(COUNT, None))),
        optimizer=train.with_schedule(optax.adam, optax.cosine_decay_schedule(0.03, 60)),
        epochs=3,
        batch_size=16,
        best="r2",
    )


EXPERIMENTS = {
    "heads": auxiliary_heads,
    "networks": two_networks,
    "dcgan": dcgan,
    "views": two_views,
    "numbers": numbers,
}
