"""Random and fixed changes of images: on the device, under ``jit``, with the key as the first argument.

Images are ``(*batch, height, width, channels)`` with any number of batch axes, and floating. Functions of colour expect
values in [0, 1]; those of geometry take any range. Random amounts are drawn for each image, determined by the key.
Ranges of amounts are plain numbers and part of the compiled program. ``chain`` composes functions. Functions that mix
images mix their targets as well; those of scenes, such as ``random_scene_flip``, change a whole batch, and move boxes
and label maps with the images. Under ``shard_map`` or ``pmap`` every device draws from its own key, so fold the index
of the device into it.
"""

from typing import TYPE_CHECKING

from jaxcnn._hints import install_hints
from jaxcnn.augment._chain import chain
from jaxcnn.augment._color import adjust_brightness, adjust_contrast, adjust_hue, adjust_saturation, random_color
from jaxcnn.augment._crop import random_crop, random_resized_crop
from jaxcnn.augment._elastic import random_elastic
from jaxcnn.augment._erase import random_cutout, random_erasing
from jaxcnn.augment._flip import alternating_flip, random_flip
from jaxcnn.augment._geometry import affine, random_affine
from jaxcnn.augment._mix import cutmix, mixup, mixup_or_cutmix
from jaxcnn.augment._on import on
from jaxcnn.augment._pca_noise import color_axes, random_pca_noise
from jaxcnn.augment._per_clip import per_clip
from jaxcnn.augment._policy import rand_augment, trivial_augment
from jaxcnn.augment._scene_mosaic import random_scene_mosaic
from jaxcnn.augment._scene_moves import random_scene_crop, random_scene_flip, random_scene_scale
from jaxcnn.augment._shift import random_shift
from jaxcnn.augment._views import average_over_views, flip_views, shift_views, ten_crop

__all__ = [
    "adjust_brightness",
    "adjust_contrast",
    "adjust_hue",
    "adjust_saturation",
    "affine",
    "alternating_flip",
    "average_over_views",
    "chain",
    "color_axes",
    "cutmix",
    "flip_views",
    "mixup",
    "mixup_or_cutmix",
    "on",
    "per_clip",
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
    "random_scene_crop",
    "random_scene_flip",
    "random_scene_mosaic",
    "random_scene_scale",
    "random_shift",
    "shift_views",
    "ten_crop",
    "trivial_augment",
]

if not TYPE_CHECKING:  # or type checkers would accept every name
    __getattr__ = install_hints(globals())
