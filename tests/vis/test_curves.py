"""Curves: the position of every value, zeros and gaps, and errors for invalid records."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxcnn.vis import curves_figure, draw_curves
from jaxcnn.vis._canvas import TEST, TRAIN
from tests.vis.pictures import SIGNATURES, pixels, run_of


def lines(axes: Any) -> dict[str, Any]:
    """The train and the test line of a panel."""
    long = [line for line in axes.lines if len(line.get_xdata()) > 1]
    return {"train": long[0], "test": long[1]}


def test_values_stand_where_they_belong() -> None:
    records = run_of(4)
    loss, error, rate = curves_figure(records).axes
    np.testing.assert_array_equal(lines(loss)["train"].get_ydata(), [r["train/loss"] for r in records])
    np.testing.assert_array_equal(lines(loss)["test"].get_ydata(), [r["test/loss"] for r in records])
    np.testing.assert_allclose(lines(error)["train"].get_ydata(), [50, 25, 12.5, 6.25])
    np.testing.assert_allclose(lines(error)["test"].get_ydata(), [60, 36, 21.6, 12.96])
    np.testing.assert_array_equal(rate.lines[0].get_ydata(), [r["learning_rate"] for r in records])
    np.testing.assert_array_equal(rate.lines[0].get_xdata(), [1, 2, 3, 4])
    assert rate.get_xlabel() == "Epoch"


def test_lines_are_named_at_their_ends_in_their_colours() -> None:
    for axes in curves_figure(run_of(4)).axes[:2]:
        assert {text.get_text(): text.get_color() for text in axes.texts} == {"train": TRAIN, "test": TEST}
        assert [lines(axes)[split].get_color() for split in ("train", "test")] == [TRAIN, TEST]


def test_names_of_lines_that_end_together_do_not_touch() -> None:
    figure = curves_figure(run_of(2, train_loss=[2, 1], test_loss=[3, 1.0001]))
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 2 and not boxes[0].overlaps(boxes[1])
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 for box in boxes)


def test_final_and_best_error_are_said_and_marked() -> None:
    axes = curves_figure(run_of(4, test_accuracy=[0.5, 0.9, 0.9, 0.88])).axes[1]
    assert axes.get_title(loc="right") == "test error: final 12.00 %, best 10.00 % (epoch 2)"
    marks = [(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines if len(line.get_xdata()) == 1]
    np.testing.assert_allclose(marks, [(4, 12), (2, 10)])


@pytest.mark.parametrize(
    ("accuracies", "scale"), [([0.5, 0.9], "linear"), ([0.1, 0.99], "log"), ([0.1, 1.0], "linear"), ([1, 1], "linear")]
)
def test_the_axis_is_logarithmic_where_it_helps(accuracies: list[float], scale: str) -> None:
    axes = curves_figure(run_of(2, test_accuracy=accuracies, train_accuracy=accuracies)).axes[1]
    assert axes.get_yscale() == scale


def test_zero_has_a_place_of_its_own_on_a_logarithmic_axis() -> None:
    axes = curves_figure(run_of(4, test_accuracy=[0.2, 0.9, 0.99, 1.0])).axes[1]
    assert axes.get_yscale() == "log"
    heights = lines(axes)["test"].get_ydata()
    np.testing.assert_allclose(heights, [80, 10, 1, 0.5])
    labels = {tick: axes.yaxis.get_major_formatter()(tick, 0) for tick in axes.get_yticks()}
    assert labels[heights[-1]] == "0" and list(labels.values()).count("0") == 1
    assert all(float(label) == pytest.approx(tick) for tick, label in labels.items() if label != "0")
    assert "final 0.00 %" in axes.get_title(loc="right")


def test_a_gap_where_the_loss_is_not_finite(tmp_path: Path) -> None:
    records = run_of(4, train_loss=[2, math.nan, math.inf, 1], test_loss=[math.nan] * 4)
    figure = curves_figure(records)
    assert np.isnan(lines(figure.axes[0])["train"].get_ydata()[1])
    assert [text.get_text() for text in figure.axes[0].texts] == ["train"]
    draw_curves(records, tmp_path / "curves.png")


def test_a_run_that_diverged_at_once_still_gives_a_picture(tmp_path: Path) -> None:
    nan = [math.nan] * 2
    records = run_of(2, train_loss=nan, test_loss=nan, train_accuracy=nan, test_accuracy=nan, learning_rate=[0, 0])
    figure = curves_figure(records)
    assert [text.get_text() for text in figure.axes[0].texts] == ["no finite value"]
    assert figure.axes[1].get_title(loc="right") == ""
    draw_curves(records, tmp_path / "curves.png")


def test_a_final_error_that_is_not_finite_is_said() -> None:
    axes = curves_figure(run_of(2, test_accuracy=[0.9, math.nan])).axes[1]
    assert axes.get_title(loc="right") == "test error: final not finite, best 10.00 % (epoch 1)"


def test_several_records_an_epoch_are_drawn_over_steps() -> None:
    rate = curves_figure(run_of(3, epoch=[1, 1, 2])).axes[2]
    assert rate.get_xlabel() == "Step"
    np.testing.assert_array_equal(rate.lines[0].get_xdata(), [10, 20, 30])


def test_one_record_shows(tmp_path: Path) -> None:
    draw_curves(run_of(1), tmp_path / "one.png")
    draw_curves(run_of(3), tmp_path / "three.png")
    for name in ("one", "three"):
        seen = pixels(tmp_path / f"{name}.png").reshape(-1, 3)
        for colour in (TRAIN, TEST):
            assert (seen == [int(colour[i : i + 2], 16) for i in (1, 3, 5)]).all(-1).sum() > 100


def untested(record: dict[str, Any]) -> dict[str, Any]:
    """The record of an epoch that was not evaluated."""
    return {name: value for name, value in record.items() if not name.startswith("test/")}


def test_epochs_that_were_not_evaluated_leave_a_gap() -> None:
    records = run_of(4)
    figure = curves_figure([*map(untested, records[:-1]), records[-1]])
    lines = [line.get_ydata() for line in figure.axes[1].get_lines()[:2]]
    assert [int(np.isfinite(line).sum()) for line in lines] == [4, 1]
    assert "final" in figure.axes[1].get_title(loc="right")


def test_a_run_that_is_never_evaluated_has_its_training_curves() -> None:
    figure = curves_figure([untested(record) for record in run_of(3)])
    for axes, values in zip(figure.axes[:2], ("train/loss", "train/accuracy"), strict=True):
        drawn = [line.get_ydata() for line in axes.get_lines() if len(line.get_ydata()) == 3]
        expected = np.array([record[values] for record in run_of(3)])
        (line,) = drawn
        np.testing.assert_allclose(line, expected if values == "train/loss" else 100 * (1 - expected))
    (caption,) = figure.texts
    assert "after the epoch" not in caption.get_text()


@pytest.mark.parametrize("ending", SIGNATURES)
def test_the_file_is_what_its_ending_says_and_the_same_each_time(tmp_path: Path, ending: str) -> None:
    for name in ("a", "b"):
        draw_curves(run_of(2), tmp_path / f"{name}.{ending}")
    first, second = ((tmp_path / f"{name}.{ending}").read_bytes() for name in ("a", "b"))
    assert first.startswith(SIGNATURES[ending]) and first == second
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"a.{ending}", f"b.{ending}"]


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([], "there is no record to draw; a run writes its first one after its first epoch"),
        ([{"step": 1, "epoch": 1}], "record 0 has no 'train/loss'; it has step, epoch"),
        (run_of(2, test_accuracy=[50, 90]), "test/accuracy must be a fraction between 0 and 1, but one is 50"),
        (run_of(2, train_accuracy=[-0.1, 0.5]), "train/accuracy must be a fraction between 0 and 1, but one is -0.1"),
        (run_of(2) + run_of(2), "the steps of the records must increase; are these records of two runs"),
    ],
    ids=["none", "a value missing", "per cent", "negative", "two runs"],
)
def test_refuses(tmp_path: Path, records: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ValueError, match="draw_curves: " + message):
        draw_curves(records, tmp_path / "curves.png")
    assert not list(tmp_path.iterdir())


def test_the_two_losses_are_said_to_be_of_different_things() -> None:
    for held in ("test", "val"):
        records = [{name.replace("test/", f"{held}/"): value for name, value in record.items()} for record in run_of(3)]
        figure = curves_figure(records)
        figure.canvas.draw()
        (caption,) = figure.texts
        assert "with augmentation, dropout and label smoothing" in caption.get_text()
        assert f"\n{held}: after the epoch, without them" in caption.get_text()
        box = caption.get_window_extent()
        assert box.x1 <= figure.bbox.x1 and box.y1 <= figure.axes[2].get_tightbbox().y0


def test_a_validation_split_is_drawn_and_the_test_error_written() -> None:
    records = [{name.replace("test/", "val/"): value for name, value in record.items()} for record in run_of(4)]
    records[-1] |= {"test/loss": 1.0, "test/accuracy": 0.75}
    loss, error, _ = curves_figure(records).axes
    np.testing.assert_array_equal(lines(loss)["test"].get_ydata(), [record["val/loss"] for record in records])
    assert {text.get_text() for text in error.texts} == {"train", "val"}
    assert error.get_title(loc="right").startswith("test error 25.00 %; val error: final ")


def without_accuracy(index: int) -> dict[str, Any]:
    """The record of an epoch with two networks and two optimizers."""
    return {
        "step": 10 * (index + 1),
        "epoch": index + 1,
        "learning_rate/generator": 0.1,
        "learning_rate/discriminator": 0.2 - 0.05 * index,
        "train/loss": 2.0 - 0.1 * index,
        "train/generator": 1.0 + 0.1 * index,
        "train/skipped": 0,
        "test/called_real": 0.5 + 0.1 * index,
    }


def test_other_measures_have_panels_where_there_is_no_accuracy() -> None:
    records = [without_accuracy(index) for index in range(3)]
    figure = curves_figure(records)
    loss, generator, called_real, rates = figure.axes
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["Loss", "Generator", "Called real", "Learning rates"]
    for axes, name in ((loss, "train/loss"), (generator, "train/generator"), (called_real, "test/called_real")):
        (line,) = axes.lines
        np.testing.assert_array_equal(line.get_ydata(), [record[name] for record in records])
        assert [text.get_text() for text in axes.texts] == [name.partition("/")[0]]
    assert [line.get_color() for line in (*loss.lines, *called_real.lines)] == [TRAIN, TEST]
    legend = rates.get_legend()
    assert legend is not None and [text.get_text() for text in legend.get_texts()] == ["generator", "discriminator"]
    np.testing.assert_allclose(rates.lines[1].get_ydata(), [0.2, 0.15, 0.1])
    assert rates.get_xlabel() == "Epoch" and not any(axes.get_xlabel() for axes in figure.axes[:-1])


def test_without_a_recorded_rate_there_is_no_panel_of_it() -> None:
    records = [{name: value for name, value in record.items() if name != "learning_rate"} for record in run_of(2)]
    figure = curves_figure(records)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["Loss", "Error (%)"]
    assert figure.axes[1].get_xlabel() == "Epoch"


def test_the_final_error_is_that_of_the_last_evaluation() -> None:
    first = {"step": 1, "epoch": 1, "train/loss": 1.0, "train/accuracy": 0.5, "test/loss": 0.9, "test/accuracy": 0.75}
    figure = curves_figure([first, {"step": 2, "epoch": 2, "train/loss": 0.9, "train/accuracy": 0.6}])
    assert figure.axes[1].get_title(loc="right") == "test error: final 25.00 %, best 25.00 % (epoch 1)"
