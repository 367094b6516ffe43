# mypy: warn-unused-ignores
"""A user's program, type-checked by .ci/run against the installed wheel.

Unused ignores are errors, so each ignored line shows that a wrong call is refused.
"""

from typing import assert_type

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn import ShapeError, attribution, augment, data, functional, models, nn, shapes, summary, train

image = np.zeros((2, 32, 32, 3), np.float32)
kernel = jnp.zeros((3, 3, 3, 8))

# Arrays of NumPy and JAX, and names of options.
assert_type(functional.conv(image, kernel, strides=2, padding="SAME_LOWER", padding_mode="reflect"), jax.Array)
assert_type(functional.max_pool(image, (2, 2), strides=2), jax.Array)
functional.conv(image, kernel, padding="SMAE")  # type: ignore[arg-type]
functional.conv(image, kernel, padding_mode="mirror")  # type: ignore[arg-type]
functional.conv(image, kernel, algorithm="winogard")  # type: ignore[arg-type]
functional.conv(image, kernel, stride=2)  # type: ignore[call-arg]
functional.conv(image, "kernel")  # type: ignore[arg-type]
functional.max_pool(image, (2, 2))  # type: ignore[call-arg]
functional.convole(image, kernel)  # type: ignore[attr-defined]

# Integers, modules, networks.
assert_type(shapes.conv_output_shape((32, 32, 3), (3, 3, 3, 8), padding="VALID"), tuple[int, ...])
nn.Conv(8, (3, 3), padding="VALID")
nn.Conv(8, (3, 3), padding="VALD")  # type: ignore[arg-type]
assert_type(summary(models.create("lenet5", num_classes=10), (1, 32, 32, 1)).parameters, int)

# Training.
digits = data.load("digits")
stopping = train.EarlyStopping(metric="accuracy", patience=3)
train.EarlyStopping(metric="accuracy", patience="3")  # type: ignore[arg-type]
augment.random_flip(jax.random.key(0), image)
attribution.saliency(lambda x: x.sum((1, 2)), image, target=1)
try:
    functional.conv(image, kernel, padding=((1, 1), (1, 1)))
except ShapeError as error:
    print(error)
