"""Measures of quality: pure functions of arrays, and their running forms.

Labels come first, as in scikit-learn: ``accuracy(labels, predictions)``, ``roc_auc(labels, scores)``. ``weights`` weigh
examples, or leave them out. Measures of classes follow from a ``confusion_matrix``; those of images give one number for
each image.

A running form is a pytree of sums with ``empty``, ``update``, ``merge`` and ``compute``: it works under ``jit`` and in
``lax.scan``, and keeps no example. ``Mean`` is the running form of every measure that is a mean over examples,
``ConfusionMatrix`` of the measures of classes, and ``Calibration`` of the expected calibration error.
``ScoreHistogram`` is the running form of ROC AUC and average precision, up to an error that it computes.
"""

from typing import TYPE_CHECKING

from jaxcnn._hints import install_hints
from jaxcnn.metrics._boundary import boundary_f1
from jaxcnn.metrics._calibration import Calibration, CalibrationBins, expected_calibration_error
from jaxcnn.metrics._classification import accuracy, brier_score, in_top_k, top_k_accuracy
from jaxcnn.metrics._confusion import ConfusionMatrix, confusion_matrix
from jaxcnn.metrics._detection import detection_average_precision
from jaxcnn.metrics._from_confusion import balanced_accuracy, f1, iou, mean_iou, precision, recall
from jaxcnn.metrics._images import dice, psnr, ssim
from jaxcnn.metrics._mean import Mean
from jaxcnn.metrics._ranking import average_precision, roc_auc
from jaxcnn.metrics._retrieval import (
    mean_average_precision,
    nearest_neighbour_accuracy,
    recall_at_k,
    retrieval_average_precision,
)
from jaxcnn.metrics._score_histogram import BinnedRanking, ScoreHistogram
from jaxcnn.metrics._voc import DetectionCurve, detection_curves, voc_average_precision

__all__ = [
    "BinnedRanking",
    "Calibration",
    "CalibrationBins",
    "ConfusionMatrix",
    "DetectionCurve",
    "Mean",
    "ScoreHistogram",
    "accuracy",
    "average_precision",
    "balanced_accuracy",
    "boundary_f1",
    "brier_score",
    "confusion_matrix",
    "detection_average_precision",
    "detection_curves",
    "dice",
    "expected_calibration_error",
    "f1",
    "in_top_k",
    "iou",
    "mean_average_precision",
    "mean_iou",
    "nearest_neighbour_accuracy",
    "precision",
    "psnr",
    "recall",
    "recall_at_k",
    "retrieval_average_precision",
    "roc_auc",
    "ssim",
    "top_k_accuracy",
    "voc_average_precision",
]

if not TYPE_CHECKING:  # or type checkers would accept every name
    __getattr__ = install_hints(globals())
