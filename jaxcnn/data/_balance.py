"""Weights of examples by which every class counts the same."""

import numpy as np


def balanced_weights(labels: np.ndarray) -> np.ndarray:
    """One weight for each example, by which every class has the same sum: ``n / (classes * examples of the class)``.

    As ``train.Experiment(sample_weights=...)`` they draw every class equally often; multiplied by the loss of each
    example they weigh every class the same. Their mean is 1.

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
