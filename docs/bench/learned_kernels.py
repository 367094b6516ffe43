"""The pictures of learned kernels of docs/kernels_without_labels.md, from runs.

    python -m docs.bench.learned_kernels --kmeans RUN --cdbn RUN

``RUN`` is a run of ``kmeans_features_cifar10`` or ``cdbn_mnist``. Centroids are drawn in the whitened space, those with
the most patches first. A kernel of the second layer of the deep belief network is drawn as the
sum of the kernels of the first layer, each at its position and multiplied by its weight (Lee et al. 2009, section 4.2).
The weight of a pooled unit is divided equally among the four units of its block.
"""

import argparse
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn import functional as F
from jaxcnn import train, vis
from jaxcnn.unsupervised import nearest_centroids

IMAGES = Path(__file__).parent.parent / "images"


def in_pixels(second: jax.Array, first: jax.Array, *, block: int = 2) -> jax.Array:
    """The kernel ``(height, width, 1, out)`` on the image of a layer that reads means of blocks of a first layer."""
    maps = jnp.moveaxis(second, -1, 0)  # one example for each output
    units = maps.repeat(block, 1).repeat(block, 2) / block**2
    return jnp.moveaxis(F.conv_transpose(units, first, padding="VALID"), 0, -1)


def of_kmeans(run: Path, count: int) -> np.ndarray:
    """The centroids with the most patches as a kernel of colour images."""
    trained = train.load_trained(train.RunFolder.open(run), "last", trust=True)
    centroids = trained.variables["kmeans"]["centroids"]
    test: Any = trained.experiment.data.test
    patches = test["patch"]
    numbers = np.asarray(jax.jit(nearest_centroids)(patches, centroids)[0])
    most = np.argsort(-np.bincount(numbers, minlength=len(centroids)), kind="stable")[:count]
    side = int(np.sqrt(centroids.shape[1] // 3))
    return np.asarray(centroids)[most].T.reshape(side, side, 3, len(most))


def main() -> None:
    """Draws the pictures of the runs that are given into ``docs/images``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kmeans", type=Path, metavar="RUN")
    parser.add_argument("--cdbn", type=Path, metavar="RUN")
    parser.add_argument("--count", type=int, default=96, help="centroids that are drawn")
    options = parser.parse_args()
    if options.kmeans:
        kernel = of_kmeans(options.kmeans, options.count)
        vis.draw_kernels(kernel, IMAGES / "learned_kmeans.png", title="whitened centroids of CIFAR-10")
    if options.cdbn:
        trained = train.load_trained(train.RunFolder.open(options.cdbn), "last", trust=True)
        first, second = (trained.variables["params"][name]["kernel"] for name in ("first", "second"))
        vis.draw_kernels(first, IMAGES / "learned_cdbn1.png", title="first layer on MNIST")
        vis.draw_kernels(in_pixels(second, first), IMAGES / "learned_cdbn2.png", title="second layer, in pixels")


if __name__ == "__main__":
    main()
