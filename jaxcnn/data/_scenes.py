"""Digits written over photographs, with a class for every pixel, for segmentation and detection."""

import numpy as np

from jaxcnn._axes import as_int
from jaxcnn.data._arrays import Dataset, Split

# The range of the opacity of a digit at full ink.
STRENGTH = (0.6, 1.0)
INK = 128  # a pixel with at least this ink belongs to the digit
QUARTERS = 4
JITTER = 3


def digit_scenes(
    digits: Dataset,
    photographs: Dataset,
    *,
    size: int = 48,
    train_count: int,
    test_count: int,
    seed: int = 0,
    named: bool = True,
    most: int = 4,
) -> Dataset:
    """Scenes of one to four digits over photographs; class 0 is the background, class ``d + 1`` the strokes of ``d``.

    A photograph is enlarged to the scene. There is at most one digit in each quarter, moved by up to 3 pixels, in a
    random colour with an opacity of 60 to 100 %, so that no threshold on brightness or colour separates it.
    Training scenes are made of training digits and training photographs, and test scenes of test digits and test
    photographs. If both sets have a validation split, it gives as many validation scenes as there are test scenes.

    The arrays of a split are ``image``; ``segmentation``, the class of each pixel; ``boxes`` ``(scenes, most, 4)``, the
    smallest box ``(x0, y0, x1, y1)`` around the visible strokes of each digit, in pixels; and ``box_label``
    ``(scenes, most)``, its class. Where a scene has fewer digits, the last boxes are zeros and their class is 0.

    Args:
        digits: grey images of light ink, such as MNIST's.
        photographs: grey or colour; their labels do not matter.
        size: height and width of a scene, at least the digits'.
        train_count: number of training scenes.
        test_count: number of test scenes.
        seed: of everything random here.
        named: False makes the strokes of all digits one class, 1.
        most: the largest number of digits on a scene, from 1 to 4; the smallest is 1.

    Raises:
        ValueError: digits that are not grey, photographs that are neither grey nor colour, a scene smaller than a
            digit, no scene, another number of digits, or a negative seed.
        TypeError: something else than data sets and integers.

    >>> from jaxcnn.data._load import load
    >>> digits = load("digits", image_size=16)
    >>> scenes = digit_scenes(digits, digits, size=32, train_count=3, test_count=2)
    >>> scenes.train["image"].shape, scenes.train["segmentation"].shape, scenes.class_names[:3]
    ((3, 32, 32, 3), (3, 32, 32), ('background', '0', '1'))
    >>> scenes.train["boxes"][0, 0], scenes.train["box_label"][0, 0]
    (array([ 6., 14., 14., 30.], dtype=float32), np.int32(9))
    """
    check_sources(digits, photographs, size=size, seed=seed)
    for name, count in (("train_count", train_count), ("test_count", test_count)):
        if as_int(count, name=name) < 1:
            raise ValueError(f"{name}={count} must be at least 1.")
    if not 1 <= as_int(most, name="most") <= QUARTERS:
        raise ValueError(f"most={most} must be from 1 to {QUARTERS}: there is at most one digit in each quarter.")
    if not named:
        splits = {which: each.replace(label=np.zeros_like(each["label"])) for which, each in digits.splits.items()}
        digits = Dataset(
            name=digits.name,
            train=splits["train"],
            test=splits["test"],
            validation=splits.get("validation"),
            class_names=("stroke",),
            licence=digits.licence,
            citation=digits.citation,
        )
    validation = None
    if digits.validation is not None and photographs.validation is not None:
        rng = np.random.default_rng([seed, 2])
        validation = _scenes(digits.validation, photographs.validation, size, test_count, rng, most)
    return Dataset(
        name=f"{digits.name} over {photographs.name}",
        train=_scenes(digits.train, photographs.train, size, train_count, np.random.default_rng([seed, 0]), most),
        test=_scenes(digits.test, photographs.test, size, test_count, np.random.default_rng([seed, 1]), most),
        validation=validation,
        class_names=("background", *digits.class_names),
        licence="; ".join(part for part in (digits.licence, photographs.licence) if part),
        citation="\n".join(part for part in (digits.citation, photographs.citation) if part),
    )


def check_sources(digits: Dataset, photographs: Dataset, *, size: int, seed: int) -> None:
    """Refuses data sets that cannot be written over each other.

    Raises:
        ValueError: digits that are not grey, photographs that are neither grey nor colour, a picture smaller than a
            digit, or a negative seed.
        TypeError: something else than data sets and integers.
    """
    for name, each in (("digits", digits), ("photographs", photographs)):
        if not isinstance(each, Dataset):
            raise TypeError(f"{name} must be a Dataset, such as data.load('mnist'), not {type(each).__name__}.")
    if digits.image_shape[2] != 1:
        raise ValueError(f"digits must have one channel, but {digits.name} has {digits.image_shape[2]}.")
    if (channels := photographs.image_shape[2]) not in (1, 3):
        raise ValueError(f"photographs must have one or three channels, but {photographs.name} has {channels}.")
    if as_int(size, name="size") < max(digits.image_shape):
        raise ValueError(f"size={size} is under {max(digits.image_shape)}, the size of the digits.")
    if as_int(seed, name="seed") < 0:
        raise ValueError(f"seed={seed} must be at least 0.")


def _scenes(digits: Split, photographs: Split, size: int, count: int, rng: np.random.Generator, most: int) -> Split:
    images = enlarge(photographs["image"][rng.integers(0, len(photographs), count)], size)
    segmentation = np.zeros((count, size, size), np.int32)
    boxes, labels = np.zeros((count, most, 4), np.float32), np.zeros((count, most), np.int32)
    for image, classes, box, label in zip(images, segmentation, boxes, labels, strict=True):
        digit = np.zeros((size, size), np.int32)  # 1 for the strokes of the first, and so on
        for place, quarter in enumerate(rng.permutation(QUARTERS)[: rng.integers(1, most + 1)]):
            chosen = rng.integers(0, len(digits))
            middle = size // 4 + size // 2 * np.array(divmod(int(quarter), 2)) + rng.integers(-JITTER, JITTER + 1, 2)
            write(image, digit, digits["image"][chosen, :, :, 0], place + 1, middle, rng)
            label[place] = digits["label"][chosen] + 1
        seen = [place for place in range(most) if (digit == place + 1).any()]
        label[: len(seen)], label[len(seen) :] = label[seen], 0
        for index, place in enumerate(seen):
            classes[digit == place + 1] = label[index]
            box[index] = box_around(digit == place + 1)
    return Split(image=images, segmentation=segmentation, boxes=boxes, box_label=labels)


def box_around(mask: np.ndarray) -> np.ndarray:
    """The smallest box ``(x0, y0, x1, y1)`` around the pixels of a mask, which has some.

    >>> box_around(np.array([[0, 0, 0], [0, 1, 1]]))
    array([1, 1, 3, 2])
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])


def write(
    image: np.ndarray, classes: np.ndarray, ink: np.ndarray, value: int, middle: np.ndarray, rng: np.random.Generator
) -> None:
    """Writes ink over an image about a middle, in a random colour, and its class into ``classes``, in place.

    Parts outside of the image are cut off, also all of it.
    """
    starts = middle - np.array(ink.shape) // 2
    into = tuple(
        slice(min(max(start, 0), most), min(max(start + side, 0), most))
        for start, side, most in zip(starts.tolist(), ink.shape, classes.shape, strict=True)
    )
    seen = ink[tuple(slice(part.start - start, part.stop - start) for part, start in zip(into, starts, strict=True))]
    cover = (rng.uniform(*STRENGTH) / 255 * seen)[..., None]
    image[into] = np.rint((1 - cover) * image[into] + cover * rng.integers(0, 256, image.shape[-1]))
    classes[into][seen >= INK] = value


def enlarge(images: np.ndarray, size: int) -> np.ndarray:
    """Images ``(n, height, width, channels)`` as colour ones ``(n, size, size, 3)``, bilinear between pixel centres.

    >>> enlarge(np.array([[[[0], [8]]]], np.uint8), 4)[0, 0, :, 0]
    array([0, 2, 6, 8], dtype=uint8)
    """
    weights = []
    for side in images.shape[1:3]:
        places = np.clip((np.arange(size) + 0.5) * side / size - 0.5, 0, side - 1)
        weights.append(np.maximum(1 - np.abs(places[:, None] - np.arange(side)), 0).astype(np.float32))
    large = np.empty((len(images), size, size, images.shape[-1]), np.uint8)
    for start in range(0, len(images), 500):
        block = np.moveaxis(images[start : start + 500].astype(np.float32), -1, 1)
        large[start : start + 500] = np.moveaxis(np.rint(weights[0] @ block @ weights[1].T), 1, -1)
    return np.repeat(large, 3, -1) if large.shape[-1] == 1 else large
