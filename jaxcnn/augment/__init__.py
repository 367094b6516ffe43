"""Image to image functions: batched, on the device, key first.

Images are ``(batch, height, width, channels)``, floating; functions of colour want them in [0, 1], those of geometry
take any range. Each image gets a draw of its own, and the key decides it. Amounts are plain numbers, part of what is
compiled. Functions that mix images take their targets along. Under ``shard_map`` or ``pmap`` every device draws by
itself, so fold the device's index into its key.
"""

from jaxcnn.augment.color import adjust_brightness, adjust_contrast, adjust_hue, adjust_saturation, random_color
from jaxcnn.augment.crop import random_crop, random_resized_crop
from jaxcnn.augment.elastic import random_elastic
from jaxcnn.augment.erase import random_cutout, random_erasing
from jaxcnn.augment.flip import alternating_flip, random_flip
from jaxcnn.augment.geometry import affine, random_affine
from jaxcnn.augment.mix import cutmix, mixup, mixup_or_cutmix
from jaxcnn.augment.pca_noise import color_axes, random_pca_noise
from jaxcnn.augment.policy import rand_augment, trivial_augment
from jaxcnn.augment.shift import random_shift
from jaxcnn.augment.views import average_over_views, flip_views, shift_views, ten_crop

__all__ = [
    "adjust_brightness",
    "adjust_contrast",
    "adjust_hue",
    "adjust_saturation",
    "affine",
    "alternating_flip",
    "average_over_views",
    "color_axes",
    "cutmix",
    "flip_views",
    "mixup",
    "mixup_or_cutmix",
    "rand_augment",
    "random_affine",
    "random_color",
    "random_crop",
    "random_cutout",
    "random_elastic",
    "random_erasing",
    "random_flip",
    "random_pca_noise",
    "random_resized_crop",
    "random_shift",
    "shift_views",
    "ten_crop",
    "trivial_augment",
]
