"""The picture of a second layer shows the inputs that its units read."""

import jax
import numpy as np

from docs.bench.learned_kernels import in_pixels
from jaxcnn import functional as F


def test_a_kernel_in_pixels_gives_the_values_of_both_layers() -> None:
    keys = jax.random.split(jax.random.key(0), 3)
    first, second = jax.random.normal(keys[0], (5, 5, 1, 3)), jax.random.normal(keys[1], (4, 4, 3, 6))
    images = jax.random.normal(keys[2], (2, 20, 20, 1))
    pooled = F.avg_pool(F.conv(images, first, padding="VALID"), (2, 2), strides=2)
    expected = F.conv(pooled, second, padding="VALID")
    found = F.conv(images, in_pixels(second, first), strides=2, padding="VALID")
    np.testing.assert_allclose(found, expected, atol=1e-4)
