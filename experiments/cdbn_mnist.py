"""A convolutional deep belief network on MNIST: two convolutional RBMs, one after the other (Lee et al. 2009).

40 kernels of 12x12, then 40 of 6x6 on the pooled probabilities of the first layer, each with probabilistic max pooling
in blocks of 2x2: 2,600 features of both layers, without labels. A linear support vector machine classifies them,
trained with 1,000 to 60,000 labels. The paper reports test errors of 2.62, 2.13, 1.91, 1.59 and 0.82 % for 1,000,
2,000, 3,000, 5,000 and all labels, and does not describe its training. Here both layers are trained as one run in two
stages; ``measure`` gives the error for each number of labels, and that of the same classifier on the pixels.

run     jaxcnn repeat cdbn_mnist --seeds 3  (MNIST prepared by tensorflow-datasets; see docs/your_data.md)
cost    2:39 a run on NVIDIA H200
result  0.04715 ± 0.00021 error 1000, 0.03805 ± 0.00092 error 2000, 0.02985 ± 0.00021 error 3000 over 2 seeds
        Trained on the GPU and measured on a CPU. The same classifier on the pixels has an error of 0.1374 with 1,000
        labels, 0.1181 with 3,000 and 0.0834 with all
"""

import dataclasses
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxcnn import data, train
from jaxcnn.unsupervised import CRBM, in_batches, linear_svm

LABELS = (1000, 2000, 3000, 5000, 60_000)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The scalars that people sweep."""

    features: Annotated[int, "hidden maps of each layer"] = 40
    target: Annotated[float, "mean of the hidden units of the first layer that is aimed at"] = 0.02
    target2: Annotated[float, "the same of the second layer"] = 0.02
    sparsity: Annotated[float, "weight of the penalty"] = 1.0
    images: Annotated[int | None, "training images, the first ones; None for all"] = None
    epochs: Annotated[int, "passes over the training images for each layer"] = 3
    batch_size: Annotated[int, "images of a step"] = 20
    lr: Annotated[float, "learning rate"] = 0.3
    c: Annotated[float, "weight of the loss of the support vector machine"] = 100.0
    data_dir: Annotated[str | None, "folder of prepared TFDS sets; by default that of TFDS"] = None
    hold_out: Annotated[int, "one training image in this many is held out to evaluate the classifier"] = 0
    seed: Annotated[int, "determines initial kernels, order and samples"] = 0


def build(config: Config) -> train.Experiment:
    """The run that a config describes."""
    mnist = data.load("mnist", data_dir=config.data_dir)
    mnist = dataclasses.replace(mnist, train=mnist.train.take(slice(config.images)))
    mnist = data.hold_out(mnist, one_in=config.hold_out)
    first = CRBM(window_shape=(12, 12), features=config.features)
    second = CRBM(window_shape=(6, 6), features=config.features, channels=config.features)

    def init(key: jax.Array, batch: Any) -> Any:
        keys = jax.random.split(key)
        params = {
            "first": first.init(keys[0], scale=0.1, activation=config.target),
            "second": second.init(keys[1], scale=0.1, activation=config.target2),
        }
        params["first"]["visible_bias"] -= 2  # most pixels are 0
        return {"params": params}

    def pooled(params: Any, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The pooled probabilities of both layers."""
        _, lower = first.hidden(params["first"], first.crop(images))
        _, upper = second.hidden(params["second"], second.crop(lower))
        return lower, upper

    def learn_first(variables: Any, batch: Any, key: jax.Array) -> tuple[jax.Array, train.Aux]:
        params, images = variables["params"]["first"], first.crop(batch["image"])
        loss, metrics = first.loss(key, params, images, target=config.target, sparsity=config.sparsity)
        return loss, train.Aux(metrics=metrics)

    def learn_second(variables: Any, batch: Any, key: jax.Array) -> tuple[jax.Array, train.Aux]:
        params = variables["params"]
        _, lower = first.hidden(params["first"], first.crop(batch["image"]))
        maps = second.crop(jax.lax.stop_gradient(lower))
        loss, metrics = second.loss(key, params["second"], maps, target=config.target2, sparsity=config.sparsity)
        return loss, train.Aux(metrics=metrics)

    def evaluate(variables: Any, batch: Any) -> dict[str, jax.Array]:
        params, images = variables["params"], first.crop(batch["image"])
        hidden, lower = first.hidden(params["first"], images)
        upper, _ = second.hidden(params["second"], second.crop(lower))
        error = (first.mean_visible(params["first"], hidden) - images) ** 2
        return {
            "reconstruction": error.mean((1, 2, 3)),
            "activation1": hidden.mean((1, 2, 3)),
            "activation2": upper.mean((1, 2, 3)),
        }

    def measure(trained: train.Trained) -> dict[str, float]:
        params = trained.variables["params"]
        judged = mnist.validation or mnist.test

        def features(images: jax.Array) -> jax.Array:
            maps = pooled(params, train.to_unit(images))
            return jnp.concatenate([each.reshape(len(images), -1) for each in maps], -1)

        def pixels(images: jax.Array) -> jax.Array:
            return train.to_unit(images).reshape(len(images), -1)

        def error(read: np.ndarray, asked: np.ndarray, count: int) -> float:
            svm = linear_svm(read[:count], mnist.train["label"][:count], c=config.c)
            return float(np.mean(in_batches(svm, asked, batch_size=1000).argmax(-1) != judged["label"]))

        counts = sorted({min(count, len(mnist.train)) for count in LABELS})
        found: dict[str, float] = {}
        for name, function in {"error": features, "error_of_pixels": pixels}.items():
            read, asked = (in_batches(function, split["image"], batch_size=200) for split in (mnist.train, judged))
            found |= {f"{name}_{count}": error(read, asked, count) for count in counts}
        return found

    optimizer = optax.sgd(config.lr, momentum=0.9)
    return train.Experiment(
        **train.in_stages(
            [
                train.Stage(objective=learn_first, optimizer=optimizer, epochs=config.epochs, trains=["first/*"]),
                train.Stage(objective=learn_second, optimizer=optimizer, epochs=config.epochs, trains=["second/*"]),
            ],
            steps_per_epoch=data.steps_per_epoch(len(mnist.train), config.batch_size),
        ),
        init=init,
        evaluate=evaluate,
        measure=measure,
        data=mnist,
        batch_size=config.batch_size,
        seed=config.seed,
    )
