"""Whether an image shows dark strokes on a light background, and which data sets hold light strokes on dark."""

import re
from pathlib import Path

import numpy as np

from jaxcnn.data._images import to_pixels
from jaxcnn.data._open_picture import open_picture

# Their images are light strokes on a black background.
STROKE_DATASETS = ("digits", "emnist", "kmnist", "mnist", "qmnist")


def holds_strokes(dataset: str) -> bool:
    """Whether the images of a data set are light strokes on a dark background.

    Args:
        dataset: the name of the data set.

    >>> holds_strokes("mnist, one training image in 6 held out"), holds_strokes("cifar10")
    (True, False)
    """
    # A size, the configuration of a TFDS set, or a remark of ``hold_out`` may follow.
    return bool(re.fullmatch(rf"({'|'.join(STROKE_DATASETS)})\d*([,/].*)?", dataset))


def is_dark_on_light(path: str | Path) -> bool:
    """Whether an image file shows dark strokes on a light background.

    The background is estimated from the border: the strokes are dark if the median of the border is above the middle of
    the range of all values (from the 1st to the 99th percentile). Transparent pixels are background; then the strokes
    are dark if they have more contrast on white than on black. No image of MNIST or of the embedded digits is
    misclassified, nor any of their inverses.

    Args:
        path: a file as for ``read_image``, whose ``invert`` the result is for.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file cannot be read, as in ``read_image``.

    >>> import tempfile
    >>> from PIL import Image
    >>> path = Path(tempfile.mkdtemp()) / "bar.png"
    >>> Image.fromarray(np.pad(np.zeros((6, 1), np.uint8), 2, constant_values=255)).save(path)
    >>> is_dark_on_light(path)
    True
    """
    picture = open_picture(path)
    on_black, on_white = (
        to_pixels(picture, name=str(path), channels=1, invert=invert).astype(float) for invert in (False, True)
    )
    if picture.has_transparency_data:
        return bool(np.ptp(on_white) > np.ptp(on_black))
    return has_light_border(on_black[..., 0])


def has_light_border(pixels: np.ndarray) -> bool:
    """Whether the median of the border of grey pixels ``(height, width)`` is above the middle of their range.

    >>> has_light_border(np.array([[9, 9, 9], [9, 0, 9], [9, 0, 9]]))
    True
    """
    border = np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])
    return bool(np.median(border) > np.percentile(pixels, (1, 99)).mean())
