"""Weights of examples or of classes that give every class the same total weight."""

import numpy as np

from jaxcnn._axes import as_int
from jaxcnn.data._arrays import IGNORED


def balanced_weights(labels: np.ndarray) -> np.ndarray:
    """One weight for each example, such that every class has the same sum: ``n / (classes * examples of the class)``.

    As ``train.Experiment(sample_weights=...)`` they draw every class equally often; multiplied by the loss of each
    example they give every class the same weight. Their mean is 1.

    Args:
        labels: integers ``(n,)``; classes without an example do not count.

    Returns:
        float32 ``(n,)``.

    Raises:
        TypeError: labels that are not an array of integers.
        ValueError: labels of another rank, or none.

    Source: King and Zeng (2001), "Logistic regression in rare events data"; ``compute_sample_weight`` of scikit-learn.

    >>> balanced_weights(np.array([0, 0, 0, 1]))
    array([0.6666667, 0.6666667, 0.6666667, 2.       ], dtype=float32)
    """
    if not isinstance(labels, np.ndarray) or not np.issubdtype(labels.dtype, np.integer):
        raise TypeError(f"expected labels as a NumPy array of integers, got {getattr(labels, 'dtype', type(labels))}.")
    if labels.ndim != 1 or not len(labels):
        raise ValueError(f"expected one label for each example, (n,), got labels of the shape {labels.shape}.")
    _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    weights: np.ndarray = (len(labels) / (len(counts) * counts))[classes]
    return weights.astype(np.float32)


def median_frequency_weights(segmentation: np.ndarray, *, num_classes: int) -> np.ndarray:
    """One weight for each class of pixels: the median of the frequencies of all classes over its own.

    The frequency of a class is its share of the labelled pixels of the images that have it. Weights are for
    ``train.segmentation(class_weights=...)``; a class without a pixel has the weight 0.

    Args:
        segmentation: integers ``(n, height, width)``; 255 is a pixel without a label.
        num_classes: the number of classes.

    Returns:
        float32 ``(num_classes,)``.

    Raises:
        TypeError: classes that are not an array of integers.
        ValueError: an array of another rank, one without labelled pixels, or a class that is out of range.

    Source: Eigen and Fergus (2015), "Predicting depth, surface normals and semantic labels with a common multi-scale
    convolutional architecture", section 6.3.1.

    >>> median_frequency_weights(np.array([[[0, 0, 0, 1]], [[2, 2, 0, 255]]]), num_classes=3)
    array([1.        , 2.2857144 , 0.85714287], dtype=float32)
    """
    if not isinstance(segmentation, np.ndarray) or not np.issubdtype(segmentation.dtype, np.integer):
        raise TypeError(
            f"expected classes as a NumPy array of integers, got {getattr(segmentation, 'dtype', type(segmentation))}."
        )
    if segmentation.ndim != 3:
        raise ValueError(f"expected a class for each pixel, (n, height, width), got the shape {segmentation.shape}.")
    count = as_int(num_classes, name="num_classes")
    labelled = segmentation != IGNORED
    if not labelled.any():
        raise ValueError("no pixel has a label.")
    if wrong := [int(label) for label in np.unique(segmentation[labelled]) if not 0 <= label < count]:
        raise ValueError(f"a pixel has the class {wrong[0]}, but there are {count} classes, 0 to {count - 1}.")
    pixels = np.stack([(segmentation == label).sum((1, 2)) for label in range(count)], 1)
    of_images = np.where(pixels > 0, labelled.sum((1, 2))[:, None], 0).sum(0)
    frequency = pixels.sum(0) / np.maximum(of_images, 1)
    weights = np.median(frequency[frequency > 0]) / np.where(frequency > 0, frequency, np.inf)
    return np.asarray(weights, np.float32)
