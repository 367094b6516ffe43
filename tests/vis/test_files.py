"""Every ``draw_`` function writes the figure of its ``_figure`` function, and every picture has all its parts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from jaxcnn import metrics, models, vis
from jaxcnn.vis._canvas import style
from tests.ink import read
from tests.vis.pictures import parts, run_of

Draw = Callable[..., None]
RANDOM = np.random.default_rng(0)
PROBABILITIES = np.array([[0.4, 0.6], [0.1, 0.9], [0.7, 0.3]])
BYTES = RANDOM.integers(0, 256, (3, 8, 8, 3), np.uint8)
CLASSES = RANDOM.integers(0, 2, (3, 8, 8))
RUNS = [{"test/accuracy": 0.5}, {"test/accuracy": 0.7}]
RESULT = {"settings": {"labels": 5}, "test/accuracy": {"mean": 0.6, "std": 0.1}, "runs": RUNS}
TIMES = {"ours": {"median": 2.0}, "stock": {"median": 20.0}, "torch": {"median": 1.0}}
LINES = {"plain": [[1.0, 2.0, 3.0], [3.0, 6.0, 3.0]], "other": [[0.0, 0.5, 9.0]]}


def curve(count: int) -> metrics.DetectionCurve:
    shares = np.array([1, 1, 2]) / count
    return metrics.DetectionCurve(recall=shares, precision=np.array([1, 0.5, 0.67]), scores=shares, count=count)


def lenet_summary() -> models.Summary:
    return models.summary(models.create("lenet5"), (1, 32, 32, 1))


# A call of each function, and the parts of its picture.
PICTURES: dict[str, tuple[Draw, Callable[..., Figure], Callable[[], tuple[Any, ...]], dict[str, Any], dict[str, Any]]]
PICTURES = {
    "curves": (
        vis.draw_curves,
        vis.curves_figure,
        lambda: (run_of(4),),
        {},
        {
            "texts": [
                "train: means over the epoch while it is trained, with augmentation, dropout and label smoothing where "
                "used\ntest: after the epoch, without them"
            ],
            "panels": [
                {"title": "Loss", "texts": ["train", "test"], "lines": [4, 4]},
                {
                    "title": "Error (%)",
                    "right title": "test error: final 12.96 %, best 12.96 % (epoch 4)",
                    "texts": ["train", "test"],
                    "lines": [4, 4, 1, 1],
                },
                {
                    "title": "Learning rate",
                    "x": "Epoch",
                    "x ticks": ["1", "2", "3", "4"],
                    "y ticks": ["0", "0.1"],
                    "lines": [4],
                },
            ],
        },
    ),
    "explanation": (
        vis.draw_explanation,
        vis.explanation_figure,
        lambda: (BYTES[0], {"grad_cam": np.eye(2), "gradient": -np.ones((8, 8, 3))}, [("a", 0.75), ("b", 0.2)]),
        {"title": "a.png: score of a"},
        {
            "texts": ["a.png: score of a"],
            "panels": [
                {"title": "input", "images": 1},
                {"title": "grad_cam", "x": "0 to 1", "images": 2},
                {"title": "gradient", "x": "-1 to -1", "images": 1},
                {"title": "classes", "x ticks": ["0", "1"], "y ticks": ["a", "b"], "bars": 1, "patches": 2},
            ],
        },
    ),
    "units": (
        vis.draw_units,
        vis.units_figure,
        lambda: ([("patches", BYTES[None]), ("made", np.ones((1, 1, 8, 8, 1)))], ["unit 3"]),
        {"title": "conv1"},
        {"texts": ["conv1"], "panels": [{"texts": ["patches", "made", "unit 3"], "images": 4}]},
    ),
    "kernels": (
        vis.draw_kernels,
        vis.kernels_figure,
        lambda: (np.arange(150.0).reshape(5, 5, 3, 2),),
        {"title": "conv1"},
        {"texts": ["conv1; each to its own scale"], "panels": [{"texts": ["0", "1"], "images": 2}]},
    ),
    "feature_maps": (
        vis.draw_feature_maps,
        vis.feature_maps_figure,
        lambda: (np.arange(18.0).reshape(3, 3, 2),),
        {"title": "conv1"},
        {"texts": ["conv1"], "panels": [{"texts": ["0: 16", "1: 17"], "images": 2}]},
    ),
    "graph": (
        vis.draw_graph,
        vis.graph_figure,
        lambda: (lambda x, y: x * y, 2.0, 3.0),
        {"title": "x y"},
        {
            "texts": ["x y"],
            "panels": [
                {
                    "texts": [
                        "",
                        "3 \N{MIDDLE DOT} 1 = 3",
                        "",
                        "2 \N{MIDDLE DOT} 1 = 2",
                        "x",
                        "2",
                        "3",
                        "y",
                        "3",
                        "2",
                        "*",
                        "6",
                        "1",
                    ],
                    "patches": 3,
                }
            ],
        },
    ),
    "neighbours": (
        vis.draw_neighbours,
        vis.neighbours_figure,
        lambda: (BYTES, ["query", "a\n0.9", "b\n0.8"]),
        {},
        {
            "texts": ["Query and nearest images"],
            "panels": [{"texts": ["query", "a\n0.9", "b\n0.8"], "images": 3}],
        },
    ),
    "panels": (
        vis.draw_panels,
        vis.panels_figure,
        lambda: ([vis.Panel(title="Accuracy", over="depth", places=[1, 3, 5], lines=LINES)],),
        {},
        {
            "panels": [
                {
                    "title": "Accuracy",
                    "x": "depth",
                    "x ticks": ["1", "3", "5"],
                    "legend": ["plain", "other"],
                    "lines": [3, 3],
                    "bands": 1,
                }
            ]
        },
    ),
    "sweep": (
        vis.draw_sweep,
        vis.sweep_figure,
        lambda: ({"scratch": [RESULT], "trained": [RESULT]},),
        {"over": "labels"},
        {
            "panels": [
                {
                    "title": "Test accuracy (%)",
                    "x": "labels",
                    "x ticks": ["5"],
                    "legend": ["scratch", "trained"],
                    "lines": [1, 1, 1, 2, 1, 1, 1, 2],  # for each start: the means, two caps, the runs
                    "error bars": 2,
                }
            ]
        },
    ),
    "bench": (
        vis.draw_bench,
        vis.bench_figure,
        lambda: ([{"name": "a", "operation": "forward", "milliseconds": TIMES}],),
        {},
        {
            "texts": ["Times relative to jaxcnn (medians; above 1x jaxcnn is faster)"],
            "legends": [["stock JAX / jaxcnn", "PyTorch / jaxcnn"]],
            "panels": [
                {
                    "x ticks": ["0.5x", "1x", "2x", "10x"],
                    "y ticks": ["a  forward"],
                    "lines": [2],
                    "bars": 2,
                    "patches": 2,
                }
            ],
        },
    ),
    "predictions": (
        vis.draw_predictions,
        vis.predictions_figure,
        lambda: (
            np.zeros((1, 8, 8, 1), np.uint8),
            [{"image": "a/7.png", "inverted": True, "top": [{"class": "seven", "probability": 0.75}]}],
        ),
        {},
        {
            "texts": ["Input of the network"],
            "panels": [{"texts": ["7.png (inverted)\nseven 75.0 %"], "images": 1}],
        },
    ),
    "comparison": (
        vis.draw_comparison,
        vis.comparison_figure,
        lambda: ({"a": run_of(3), "b": run_of(2)},),
        {},
        {
            "legends": [["a", "b"]],
            "panels": [
                {"title": "test loss", "x": "epoch", "lines": [3, 2]},
                {"title": "test accuracy", "x": "epoch", "lines": [3, 2]},
            ],
        },
    ),
    "boxes": (
        vis.draw_boxes,
        vis.boxes_figure,
        lambda: (BYTES, np.array([[[1, 1, 5, 6]]] * 3), np.array([[1], [0], [1]]), ("background", "cat")),
        {"title": "Title", "truth": np.array([[[0, 0, 4, 4]]] * 3), "scores": np.array([[0.5], [0.25], [1.0]])},
        {
            "texts": ["Title"],
            "panels": [
                {"texts": ["cat 0.50"], "images": 1, "patches": 2},
                {"images": 1, "patches": 1},
                {"texts": ["cat 1.00"], "images": 1, "patches": 2},
            ],
        },
    ),
    "confusion": (
        vis.draw_confusion,
        vis.confusion_figure,
        lambda: (np.array([[8, 2, 0], [0, 5, 0], [0, 0, 0]]), ("a", "b", "c")),
        {},
        {
            "panels": [
                {
                    "title": "86.67 % right: 13 of 15 images",
                    "x": "Predicted class",
                    "y": "True class",
                    "x ticks": ["a", "b", "c"],
                    "y ticks": ["a", "b", "c"],
                    "texts": ["8", "2", "5", "80.0 %", "100.0 %", "none"],
                    "lines": [2, 2, 2, 2],
                    "images": 1,
                    "patches": 3,
                },
                {"y": "Share of the true class's images (%)"},
            ]
        },
    ),
    "mistakes": (
        vis.draw_mistakes,
        vis.mistakes_figure,
        lambda: (BYTES, np.array([0, 1, 1]), PROBABILITIES, ("a", "b")),
        {},
        {
            "texts": ["2 of 3 images are misclassified (66.67 %), highest loss first"],
            "panels": [{"texts": ["b → a  70 %", "a → b  60 %"], "images": 2}],
        },
    ),
    "segmentation": (
        vis.draw_segmentation,
        vis.segmentation_figure,
        lambda: (BYTES, CLASSES, CLASSES[::-1], ("background", "cat")),
        {"title": "Title", "count": 2},
        {
            "texts": ["image", "truth", "model", "Title"],
            "legends": [["background", "cat"]],
            "panels": [{"images": 1}] * 6,
        },
    ),
    "detection_curves": (
        vis.draw_detection_curves,
        vis.detection_curves_figure,
        lambda: ({1: curve(2), 3: curve(5)}, ("background", "cat", "cow", "dog")),
        {"title": "Title"},
        {
            "panels": [
                {
                    "title": "Title",
                    "x": "Recall",
                    "y": "Precision",
                    "legend": ["cat (2)", "dog (5)"],
                    "lines": [3, 1, 3, 1],
                }
            ]
        },
    ),
    "class_bars": (
        vis.draw_class_bars,
        vis.class_bars_figure,
        lambda: ({"cat": 0.25, "cow": float("nan"), "dog": 0.75},),
        {"title": "Title", "measure": "IoU"},
        {
            "panels": [
                {
                    "title": "Title",
                    "x": "IoU",
                    "y ticks": ["dog", "cat", "cow"],
                    "texts": ["0.750", "0.250", "none", "mean 0.500"],
                    "lines": [2],
                    "bars": 1,
                    "patches": 3,
                }
            ]
        },
    ),
    "receptive_fields": (
        vis.draw_receptive_fields,
        vis.receptive_fields_figure,
        lambda: (lenet_summary(),),
        {},
        {
            "texts": ["LeNet5: receptive field of the central unit"],
            "panels": [
                {
                    "x ticks": ["0", "32"],
                    "y ticks": ["0", "32"],
                    "texts": ["c1  5", "s2  6", "c3  14", "s4  16", "c5  32"],
                    "images": 1,
                    "patches": 5,
                }
            ],
        },
    ),
}


@pytest.mark.parametrize("name", PICTURES)
def test_the_file_is_the_figure_and_the_figure_has_all_its_parts(name: str, tmp_path: Path) -> None:
    draw, make, arguments, options, expected = PICTURES[name]
    figure = make(*arguments(), **options)
    figure.canvas.draw()
    found = parts(figure)
    for panel, listed in zip(found["panels"], expected["panels"], strict=True):
        assert {key: value for key, value in panel.items() if key in listed or "ticks" not in key} == listed
    assert found["texts"] == expected.get("texts", []) and found["legends"] == expected.get("legends", [])
    draw(*arguments(), path=tmp_path / "drawn.png", **options)
    with style():
        make(*arguments(), **options).savefig(tmp_path / "figure.png", dpi=200)
    np.testing.assert_array_equal(read(tmp_path / "drawn.png"), read(tmp_path / "figure.png"))


def test_every_draw_function_of_the_package_is_listed() -> None:
    drawing = {name.removeprefix("draw_") for name in vis.__all__ if name.startswith("draw_")}
    assert drawing - set(PICTURES) == {"augmentations"}  # tests/vis/test_augmentations.py compares its file
