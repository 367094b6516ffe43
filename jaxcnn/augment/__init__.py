"""Image to image functions: batched, on the device, key first.

Images are ``(batch, height, width, channels)``, floating, of any range. Each image gets a draw of its own, and the
key decides it. Amounts are plain numbers, part of what is compiled. Under ``shard_map`` or ``pmap`` every device
draws by itself, so fold the device's index into its key.
"""

from jaxcnn.augment.flip import random_flip
from jaxcnn.augment.geometry import affine, random_affine
from jaxcnn.augment.shift import random_shift

__all__ = ["affine", "random_affine", "random_flip", "random_shift"]
