"""Retrieval by features among classes that the network was not trained on.

A convolutional network is trained to classify the digits 0 to 4. Then each test image of the digits 5 to 9 is a query
among the others: the images of its class are relevant, and images are ranked by the cosine similarity of their
descriptors. `measure` gives the mean average precision (step rule) of raw pixels, of an untrained network, of each
layer with four pools (SPoC, MAC, GeM with p = 3, R-MAC), and of the best of them reduced to 32 principal components of
the training images; and the accuracy of the nearest neighbour for pixels and for the best layer. The best layer and
pool are those of the highest precision among training images of the digits 5 to 9, none of which is a query. A random
ranking has 0.2.

run     jaxcnn repeat retrieve_unseen_classes --seeds 3     (MNIST prepared by tensorflow-datasets)
        jaxcnn repeat retrieve_unseen_classes --seeds 3 --set dataset=cifar10
cost    not known (several starts, or a busy machine), 1 core; about 20 minutes
result  99.94 ± 0.00 % test accuracy, 0.06 ± 0.00 % error over 2 seeds
        Mean average precision among the unseen digits: 0.737 by the maxima of the last map, 0.732 of these in 32
        components, 0.513 by pixels, 0.452 by the untrained network
"""

import dataclasses
import functools
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen

from jaxcnn import data, functional, metrics, nn
from jaxcnn.train import (
    Experiment,
    Trained,
    classification,
    decay_mask,
    standardize,
    to_unit,
    warmup_cosine,
    with_schedule,
)

POOLS = {"spoc": functional.spoc, "mac": functional.mac, "gem": functional.gem, "r_mac": functional.r_mac}
COMPONENTS = 32


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The scalars that people sweep."""

    dataset: Annotated[str, "a data set of ten or more classes"] = "mnist"
    data_dir: Annotated[str | None, "folder of prepared TFDS sets; by default that of TFDS"] = None
    queries: Annotated[int, "test images of unseen classes, each a query among the others"] = 1000
    seed: Annotated[int, "determines initial parameters and order"] = 0
    epochs: Annotated[int, "passes over the training images"] = 4
    batch_size: Annotated[int, "images of a step"] = 128
    width: Annotated[int, "channels of the first convolution"] = 32
    peak_lr: Annotated[float, "learning rate after the warm-up"] = 3e-3
    weight_decay: Annotated[float, "decoupled decay of kernels, not of biases"] = 1e-2


class Network(linen.Module):
    """Three pairs of convolutions, with pools between them, and a linear layer on the mean over all positions."""

    num_classes: int
    width: int

    @linen.compact
    def features(self, x: jax.Array, train: bool = False) -> dict[str, jax.Array]:
        """The maps after each pair, and the logits."""
        found = {}
        for level, factor in enumerate((1, 2, 4), 1):
            if level > 1:
                x = functional.max_pool(x, (2, 2), strides=2)
            for index in (1, 2):
                name = f"{level}_{index}"
                x = nn.Conv(factor * self.width, (3, 3), use_bias=False, name=f"conv{name}")(x)
                x = linen.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9, name=f"norm{name}")(x))
            found[f"map{level}"] = x
        return found | {"logits": linen.Dense(self.num_classes, name="head")(functional.spoc(x))}

    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits of images."""
        return self.features(x, train)["logits"]


def build(config: Config) -> Experiment:
    """The run that a config describes."""
    everything = data.load(config.dataset, data_dir=config.data_dir)
    seen = len(everything.class_names) // 2
    train, test = (split.take(split["label"] < seen) for split in (everything.train, everything.test))
    dataset = dataclasses.replace(everything, train=train, test=test, class_names=everything.class_names[:seen])
    unseen, selecting = (
        split.take(split["label"] >= seen).take(slice(config.queries)) for split in (everything.test, everything.train)
    )
    normalize = standardize(dataset.mean, dataset.std)
    total_steps = config.epochs * data.steps_per_epoch(len(train), config.batch_size)
    schedule = warmup_cosine(config.peak_lr, total_steps=total_steps, warmup=0.1)
    model = Network(num_classes=seen, width=config.width)
    return Experiment(
        **classification(model, normalize=normalize),
        data=dataset,
        optimizer=with_schedule(optax.adamw, schedule, weight_decay=config.weight_decay, mask=decay_mask),
        epochs=config.epochs,
        batch_size=config.batch_size,
        seed=config.seed,
        measure=functools.partial(measure, model, normalize, unseen, selecting),
    )


def measure(
    model: Network, normalize: Any, unseen: data.Split, selecting: data.Split, trained: Trained
) -> dict[str, float]:
    """Mean average precision by descriptor, and the accuracy of the nearest neighbour.

    Layer and pool of both networks are selected among the images ``selecting``, and measured among ``unseen``.
    """
    labels = unseen["label"]
    train: Any = trained.experiment.data.train  # in memory
    pixels = unseen["image"].reshape(len(labels), -1).astype(np.float32)
    shape = (1, *unseen["image"].shape[1:])
    untrained = model.init(jax.random.key(trained.experiment.seed), jnp.zeros(shape), train=False)
    described = descriptors(model, normalize, trained.variables, unseen["image"])
    by_name = {name: precision(each, labels) for name, each in described.items()}

    def best_of(variables: Any) -> str:
        candidates = descriptors(model, normalize, variables, selecting["image"])
        return max(candidates, key=lambda name: precision(candidates[name], selecting["label"]))

    best, before = best_of(trained.variables), best_of(untrained)
    learned_from = descriptors(model, normalize, trained.variables, train["image"][:2000])[best]
    found = {
        "best": by_name[best],
        "best_pca_32": precision(reduced(described[best], learned_from), labels),
        "pixels": precision(pixels, labels),
        "untrained": precision(descriptors(model, normalize, untrained, unseen["image"])[before], labels),
        "neighbour_best": neighbour(described[best], labels),
        "neighbour_pixels": neighbour(pixels, labels),
        **by_name,
    }
    return {name: round(float(value), 4) for name, value in found.items()}


def descriptors(model: Network, normalize: Any, variables: Any, images: np.ndarray) -> dict[str, np.ndarray]:
    """The descriptor of each image for every map and pool."""

    @jax.jit
    def pooled(images: jax.Array) -> dict[str, jax.Array]:
        maps: Any = model.apply(variables, normalize(to_unit(images)), train=False, method="features")
        return {
            f"{layer}_{name}": pool(x) for layer, x in maps.items() if layer != "logits" for name, pool in POOLS.items()
        }

    parts = [jax.device_get(pooled(images[start : start + 500])) for start in range(0, len(images), 500)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def cosines(vectors: np.ndarray) -> np.ndarray:
    """The cosine of each pair of descriptors."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return unit @ unit.T


def precision(vectors: np.ndarray, labels: np.ndarray) -> float:
    """The mean average precision of each image as a query among the others."""
    relevant, others = labels[:, None] == labels, ~np.eye(len(labels), dtype=bool)
    return float(metrics.mean_average_precision(relevant, cosines(vectors), rule="step", mask=others))


def neighbour(vectors: np.ndarray, labels: np.ndarray) -> float:
    """The accuracy of the class of the nearest other image."""
    others = ~np.eye(len(labels), dtype=bool)
    return float(metrics.nearest_neighbour_accuracy(labels, cosines(vectors), database_labels=labels, mask=others))


def reduced(vectors: np.ndarray, learned_from: np.ndarray) -> np.ndarray:
    """The first principal components of unit vectors; ``learned_from`` are the vectors from which they are computed."""

    def unit(x: np.ndarray) -> np.ndarray:
        return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)

    centre = unit(learned_from).mean(0)
    _, _, axes = np.linalg.svd(unit(learned_from) - centre, full_matrices=False)
    return (unit(vectors) - centre) @ axes[:COMPONENTS].T
