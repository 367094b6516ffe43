"""Image files of every kind as uint8 arrays of one shape.

The steps of reading a file, in this order; training on a folder and prediction use the same steps:

1. it is turned upright, as its EXIF orientation says; of several frames the first is taken;
2. 16 bits per channel become 8, palettes and CMYK become RGB;
3. transparent pixels get a black background (or a white one if the image is inverted, so that they become 0);
4. as required, colour becomes grey by ITU-R 601 luma (0.299 R + 0.587 G + 0.114 B), or grey three equal channels;
5. ``invert`` turns dark on light into light on dark;
6. another size is scaled to fit inside the required one, bilinear (over the whole footprint of a pixel when shrinking),
   keeping its proportions, and centred in a margin of zeros.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np
from PIL import Image

from jaxcnn._axes import as_int, int_per_axis
from jaxcnn._errors import ShapeError, check_choice
from jaxcnn._geometry import Resize
from jaxcnn.data._open_picture import open_picture


def read_image(
    path: str | Path,
    *,
    image_shape: tuple[int, int, int],
    invert: bool = False,
    resize: Resize = "fit",
) -> np.ndarray:
    """The image in a file as a uint8 array of ``image_shape``, ``(height, width, channels)``.

    The image is turned upright by its EXIF orientation; 16 bits per channel become 8; transparent pixels become black,
    or white if the image is inverted; colour becomes grey by ITU-R 601 luma, or grey three equal channels, as
    ``image_shape`` requires. Training on folders and prediction use this function.

    Args:
        path: a PNG, JPEG, WebP, GIF, BMP or TIFF file, of any mode; of several frames the first is read.
        image_shape: the shape that a model reads, such as ``dataset.image_shape``; one channel or three.
        invert: replaces ``v`` by ``255 - v``, for dark ink on light paper if the model reads light ink on dark.
        resize: ``"fit"`` scales the whole image to fit, with its proportions and antialiased, in a margin of zeros;
            ``"cover"`` scales its largest central part of the required proportions.

    Raises:
        FileNotFoundError: there is no such file.
        ShapeError: an ``image_shape`` that is not three counts, or has other than one or three channels.
        ValueError: not a file in one of these formats, one that is damaged or cut short, has more pixels than
            ``PIL.Image.MAX_IMAGE_PIXELS``, or has pixels of other than 8 or 16 bits.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "wide.png"
    >>> Image.new("RGBA", (4, 2), (255, 0, 0, 255)).save(path)
    >>> read_image(path, image_shape=(4, 4, 1))[..., 0]
    array([[ 0,  0,  0,  0],
           [76, 76, 76, 76],
           [76, 76, 76, 76],
           [ 0,  0,  0,  0]], dtype=uint8)
    """
    if not isinstance(image_shape, Sequence) or len(image_shape) != 3:
        raise ShapeError(f"image_shape must be (height, width, channels), such as (32, 32, 1): {image_shape!r}.")
    height, width, channels = int_per_axis(image_shape, 3, name="image_shape")
    check_channels(channels)
    pixels = to_pixels(open_picture(path), name=str(path), channels=channels, invert=invert)
    return brought_to(pixels, (height, width), resize=resize)


def check_channels(channels: int) -> None:
    """Refuses a number of channels that is neither grey nor colour.

    Raises:
        ShapeError: anything but 1 and 3.
        TypeError: it is not an integer.
    """
    if as_int(channels, name="channels") not in (1, 3):
        raise ShapeError(f"images have 1 channel (grey) or 3 (colour), not {channels}.")


def to_pixels(picture: Image.Image, *, name: str, channels: int | None = None, invert: bool = False) -> np.ndarray:
    """A picture of any mode as uint8 ``(height, width, channels)``; steps 2 to 5 of this module.

    Args:
        picture: the result of ``open_picture``.
        name: of the picture in error messages.
        channels: 1 or 3; None keeps grey pictures grey and colour pictures coloured.
        invert: replaces ``v`` by ``255 - v``, after compositing transparent pixels on white.

    Raises:
        ValueError: pixels that are not 8 or 16 bits, or of colours that have no agreed RGB.
    """
    if picture.mode.startswith("I") or picture.mode == "F":
        picture = _to_8_bits(picture, name)
    if channels is None:
        channels = 1 if is_grey(picture) else 3
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        paper = Image.new("RGBA", picture.size, (255, 255, 255, 255) if invert else (0, 0, 0, 255))
        picture = Image.alpha_composite(paper, picture)
    try:
        pixels = np.asarray(picture.convert("L" if channels == 1 else "RGB"))
    except ValueError as error:
        raise ValueError(f"{name}: {error}. Write it as RGB.") from None
    pixels = pixels.reshape(*pixels.shape[:2], channels)
    return 255 - pixels if invert else pixels


def is_grey(picture: Image.Image) -> bool:
    """Whether a picture's mode has no colour, or its palette holds only greys."""
    if picture.mode in ("P", "PA"):
        colours = np.asarray(picture.getpalette("RGB") or [0, 0, 0]).reshape(-1, 3)
        return bool(np.all(colours == colours[:, :1]))
    return picture.mode in ("1", "L", "LA", "La")


def _to_8_bits(picture: Image.Image, name: str) -> Image.Image:
    """Grey pixels of 16 bits, which Pillow would clip at 255, scaled to 8."""
    values = np.asarray(picture)
    if picture.mode == "F" or values.min() < 0 or values.max() > 65535:
        raise ValueError(
            f"{name} has pixels from {values.min()} to {values.max()} (mode {picture.mode}), and the "
            f"value of white is not known. Write it with 8 or 16 bits per channel."
        )
    grey = Image.fromarray(((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8))
    transparent = picture.info.get("transparency")  # one of the values of 16 bits
    if not isinstance(transparent, int):
        return grey
    alpha = Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8))
    return Image.merge("LA", (grey, alpha))


def fit(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Pixels ``(height, width, channels)`` scaled to fit inside ``size``, centred in zeros; step 6 of this module.

    >>> fit(np.full((2, 4, 1), 9, np.uint8), (2, 2))[..., 0]
    array([[9, 9],
           [0, 0]], dtype=uint8)
    """
    height, width, channels = pixels.shape
    if (height, width) == size:
        return pixels
    scale = min(size[0] / height, size[1] / width)
    inner = tuple(min(max(1, round(side * scale)), most) for side, most in zip((height, width), size, strict=True))
    picture = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
    small = np.asarray(picture.resize(inner[::-1], Image.Resampling.BILINEAR)).reshape(*inner, channels)
    top, left = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    fitted = np.zeros((*size, channels), np.uint8)
    fitted[top : top + inner[0], left : left + inner[1]] = small
    return fitted


def cover(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The largest central part of ``size``'s proportions, scaled to it: nothing is added, and the sides are cut.

    For ImageNet, this is the usual resize of the shorter side and central crop in one step.

    >>> cover(np.array([[[1], [2], [3], [4]]] * 2, np.uint8), (2, 2))[..., 0]
    array([[2, 3],
           [2, 3]], dtype=uint8)
    """
    height, width, channels = pixels.shape
    scale = min(height / size[0], width / size[1])
    high, wide = size[0] * scale, size[1] * scale
    left, top = (width - wide) / 2, (height - high) / 2
    picture = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
    part = picture.resize(size[::-1], Image.Resampling.BILINEAR, box=(left, top, left + wide, top + high))
    return np.asarray(part).reshape(*size, channels)


def brought_to(pixels: np.ndarray, size: tuple[int, int], *, resize: Resize) -> np.ndarray:
    """Pixels of another size by ``fit`` or ``cover``, whichever ``resize`` names.

    Raises:
        ShapeError: an unknown ``resize``.
    """
    check_choice(resize, get_args(Resize), name="resize")
    return fit(pixels, size) if resize == "fit" else cover(pixels, size)
