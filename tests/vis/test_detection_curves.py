"""Curves of detections and bars of classes: their artists, and the errors."""

import re

import numpy as np
import pytest

from jaxcnn import metrics, vis


def test_further_classes_are_grey_and_have_no_entry() -> None:
    one = metrics.DetectionCurve(recall=np.array([0.5]), precision=np.ones(1), scores=np.ones(1), count=2)
    none = metrics.DetectionCurve(recall=np.zeros(0), precision=np.zeros(0), scores=np.zeros(0), count=2)
    curves = dict.fromkeys(range(1, 13), one) | {1: none}
    figure = vis.detection_curves_figure(curves, tuple(map(str, range(13))), title="Many")
    legend = figure.axes[0].get_legend()
    assert legend is not None and len(legend.get_texts()) == 10
    colours = {str(line.get_color()) for line in figure.axes[0].lines[20:]}
    assert colours == {"#777777"}


def test_refusals() -> None:
    one = metrics.DetectionCurve(recall=np.array([0.5]), precision=np.ones(1), scores=np.ones(1), count=2)
    for call, message in (
        (
            lambda: vis.detection_curves_figure({3: one}, ("a", "b"), title=""),
            "class 3 has no name: there are 2",
        ),
        (lambda: vis.detection_curves_figure({}, ("a",), title=""), "there is no curve to draw"),
        (lambda: vis.class_bars_figure({}, title="", measure=""), "there is no value to draw"),
        (lambda: vis.class_bars_figure({"a": -0.5}, title="", measure=""), "the value of 'a' is -0.5. Expected shares"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            call()


def test_without_any_value_there_is_no_mean() -> None:
    texts = vis.class_bars_figure({"a": float("nan")}, title="None", measure="IoU").axes[0].texts
    assert not [text.get_text() for text in texts if "mean" in text.get_text()]
