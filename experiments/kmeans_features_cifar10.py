"""Features of CIFAR-10 from k-means on patches, without labels, for a linear classifier (Coates, Lee and Ng 2011).

The examples are whitened 6x6 patches of the training images, an epoch is one round of Lloyd's algorithm on all of them,
and the centroids are a collection of variables that the objective updates; there are no parameters and no gradients.
Then every patch of every image is encoded by its distances to the centroids, the codes are summed over quadrants, and
a linear support vector machine classifies the sums. The paper reports 77.9 % with 1,600 features, 68.6 % with the
hard encoding, and 79.6 % with 4,000 features. ``measure`` gives the accuracy (on held-out training images with
``hold_out``), the time and the speed of encoding, the speed of a matrix product of the same size, and the largest
memory of the process.

run     jaxcnn repeat kmeans_features_cifar10 --seeds 3  (CIFAR-10 from tensorflow-datasets; see docs/your_data.md)
cost    7:16 a run on 1 core
result  triangle: 0.7258 ± 0.0031 accuracy, 0.7618 ± 0.00025 train accuracy, 163.1 ± 11 encode seconds over 3 seeds
result  hard: 0.6457 ± 0.0028 accuracy, 0.7205 ± 0.0013 train accuracy, 197 ± 29 encode seconds over 3 seeds
result  not_whitened: 0.623 ± 0.0024 accuracy, 0.6377 ± 0.0015 train accuracy, 141.4 ± 28 encode seconds over 3 seeds
cost    1:22 a run on NVIDIA H200
result  triangle_1600: 0.7762 ± 0.0017 accuracy, 0.8606 ± 0.0006 train accuracy, 10.23 ± 2.6 encode seconds over 3 seeds
        (23 minutes a run on 1 core of a CPU; 4,000 features take about 10 GiB and are not trained yet)
"""

import dataclasses
import resource
import sys
import time
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxcnn import data, train
from jaxcnn.unsupervised import (
    Whitening,
    encode_patches,
    grid_pool,
    in_batches,
    linear_svm,
    lloyd_step,
    nearest_centroids,
    normalize_contrast,
    random_patches,
    zca_whitening,
)

VARIANTS = {
    "triangle": {},
    "hard": {"encoding": "hard"},
    "not_whitened": {"whiten": False},
    "triangle_1600": {"features": 1600},
    "triangle_4000": {"features": 4000},
}
BATCH = 32  # images that are encoded at a time


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The scalars that people sweep."""

    features: Annotated[int, "centroids; a quadrant has one feature for each"] = 400
    encoding: Annotated[Literal["triangle", "hard"], "of a patch by its distances to the centroids"] = "triangle"
    whiten: Annotated[bool, "whether patches are whitened"] = True
    window: Annotated[int, "side of a patch"] = 6
    patches: Annotated[int, "patches that the centroids are learned from"] = 400_000
    rounds: Annotated[int, "rounds of Lloyd's algorithm"] = 50
    c: Annotated[float, "weight of the loss of the support vector machine"] = 100.0
    images: Annotated[int | None, "training images, the first ones; None for all"] = None
    test_images: Annotated[int | None, "test images, the first ones; None for all"] = None
    data_dir: Annotated[str | None, "folder of prepared TFDS sets; by default that of TFDS"] = None
    hold_out: Annotated[int, "one training image in this many is held out to evaluate the classifier"] = 0
    seed: Annotated[int, "determines the patches and the initial centroids"] = 0


def build(config: Config) -> train.Experiment:
    """The run that a config describes."""
    cifar10 = data.load("cifar10", data_dir=config.data_dir)
    cifar10 = dataclasses.replace(
        cifar10,
        train=cifar10.train.take(slice(config.images)),
        test=cifar10.test.take(slice(config.test_images)),
    )
    cifar10 = data.hold_out(cifar10, one_in=config.hold_out)
    window = (config.window, config.window)

    def patches(stream: int, split: data.Split, count: int) -> jax.Array:
        key = jax.random.fold_in(jax.random.key(config.seed), stream)
        drawn = random_patches(key, split["image"], window_shape=window, count=count)
        return normalize_contrast(drawn.reshape(count, -1))

    learned_from = patches(0, cifar10.train, config.patches)
    whitening = zca_whitening(learned_from) if config.whiten else Whitening.identity(learned_from.shape[1])
    others = whitening(patches(1, cifar10.test, max(1, config.patches // 10)))
    examples = data.Dataset(
        name=f"patches of {cifar10.name}",
        train=data.Split(patch=np.asarray(whitening(learned_from))),
        test=data.Split(patch=np.asarray(others)),
    )

    def init(key: jax.Array, batch: Any) -> Any:
        centroids = 0.1 * jax.random.normal(key, (config.features, batch["patch"].shape[-1]))
        return {"params": {}, "kmeans": {"centroids": centroids}, "whitening": vars(whitening)}

    def objective(variables: Any, batch: Any, key: jax.Array) -> tuple[jax.Array, train.Aux]:
        step = lloyd_step(batch["patch"], variables["kmeans"]["centroids"])
        return step.distances, train.Aux(updates={"kmeans": {"centroids": step.centroids}})

    def evaluate(variables: Any, batch: Any) -> dict[str, jax.Array]:
        return {"distance": nearest_centroids(batch["patch"], variables["kmeans"]["centroids"])[1]}

    def measure(trained: train.Trained) -> dict[str, float]:
        centroids = jnp.asarray(trained.variables["kmeans"]["centroids"])

        def features(images: jax.Array) -> jax.Array:
            maps = encode_patches(images, centroids, whitening, window_shape=window, encoding=config.encoding)
            return grid_pool(maps)

        judged = cifar10.validation or cifar10.test
        start = time.perf_counter()
        read, asked = (in_batches(features, split["image"], batch_size=BATCH) for split in (cifar10.train, judged))
        seconds = time.perf_counter() - start
        svm = linear_svm(read, cifar10.train["label"], c=config.c)

        def accuracy(features: np.ndarray, split: data.Split) -> float:
            return float(np.mean(in_batches(svm, features, batch_size=1000).argmax(-1) == split["label"]))

        # Of an image: the whitening matrix and the centroids at each position, and the two box filters.
        rows, size = (cifar10.image_shape[0] - config.window + 1) ** 2, centroids.shape[1]
        operations = 2 * rows * size * (size + 2 + len(centroids)) * (len(read) + len(asked))
        return {
            "accuracy": accuracy(asked, judged),
            "train_accuracy": accuracy(read, cifar10.train),
            "encode_seconds": seconds,
            "encode_gflops": operations / seconds / 1e9,
            "product_gflops": product_gflops(BATCH * rows, size, size + len(centroids)),
            "peak_gib": peak_gib(),
        }

    return train.Experiment(
        init=init,
        objective=objective,
        evaluate=evaluate,
        measure=measure,
        data=examples,
        optimizer=optax.identity(),
        epochs=config.rounds,
        batch_size=config.patches,
        seed=config.seed,
        prepare=lambda batch: batch,
        evaluate_every=config.rounds,
    )


def product_gflops(rows: int, inner: int, columns: int) -> float:
    """The speed of a matrix product of float32, the best of five."""
    left, right = jnp.ones((rows, inner)), jnp.ones((inner, columns))
    product = jax.jit(lambda left, right: jnp.matmul(left, right, precision="highest"))
    product(left, right).block_until_ready()
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        product(left, right).block_until_ready()
        seconds.append(time.perf_counter() - start)
    return 2 * rows * inner * columns / min(seconds) / 1e9


def peak_gib() -> float:
    """The largest memory of this process so far, in GiB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
