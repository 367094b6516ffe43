"""Mistakes: the worst first, each with its own image, and a picture without mistakes."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.vis import draw_mistakes, mistakes_figure
from tests.vis.pictures import pixels

NAMES = ("a", "b", "c")
LABELS = np.array([0, 1, 2, 0, 1])
PROBABILITIES = np.array([[0.4, 0.6, 0.0], [0.01, 0.98, 0.01], [0.97, 0.02, 0.01], [0.3, 0.1, 0.6], [0.3, 0.55, 0.15]])
# Image i is uniformly grey with brightness i / 10.
IMAGES = np.broadcast_to(np.arange(5, dtype=np.float32).reshape(5, 1, 1, 1) / 10, (5, 4, 4, 1))


def shown(figure: Any) -> list[tuple[int, str]]:
    """The images that are shown, and their captions."""
    axes = figure.axes[0]
    return [
        (round(10 * float(np.mean(image.get_array()))), text.get_text())
        for image, text in zip(axes.images, axes.texts, strict=True)
    ]


def title(figure: Any) -> str:
    return figure.texts[0].get_text()


def test_the_highest_loss_comes_first() -> None:
    figure = mistakes_figure(IMAGES, LABELS, PROBABILITIES, NAMES)
    assert shown(figure) == [(2, "c → a  97 %"), (3, "a → c  60 %"), (0, "a → b  60 %")]
    assert title(figure) == "3 of 5 images are misclassified (60.00 %), highest loss first"


def test_as_many_as_asked_for() -> None:
    figure = mistakes_figure(IMAGES, LABELS, PROBABILITIES, NAMES, count=1)
    assert shown(figure) == [(2, "c → a  97 %")]
    assert title(figure) == "3 of 5 images are misclassified (60.00 %); the 1 with the highest loss"


def test_order_agrees_with_the_loss_of_random_probabilities() -> None:
    rng = np.random.default_rng(1)
    probabilities = rng.dirichlet(np.ones(4), 200)
    labels = rng.integers(0, 4, 200)
    images = np.broadcast_to(np.arange(200, dtype=np.uint8).reshape(200, 1, 1, 1), (200, 2, 2, 1))
    figure = mistakes_figure(images, labels, probabilities, "abcd", count=30)
    drawn = [round(255 * float(image.get_array()[0, 0])) for image in figure.axes[0].images]
    wrong = [i for i in range(200) if probabilities[i].argmax() != labels[i]]
    assert drawn == sorted(wrong, key=lambda i: np.log(probabilities[i, labels[i]]))[:30]


def test_without_a_mistake_the_least_certain_are_shown_and_it_says_so() -> None:
    right = PROBABILITIES.argmax(-1)
    figure = mistakes_figure(IMAGES, right, PROBABILITIES, NAMES, count=3)
    assert shown(figure) == [(4, "b  55 %"), (0, "b  60 %"), (3, "c  60 %")]
    assert title(figure) == "No misclassification of 5 images; the 3 with the highest loss"


def test_a_probability_of_zero_is_no_trouble() -> None:
    probabilities = np.array([[0.0, 1.0], [1e-9, 1 - 1e-9], [0.0, 1.0]])
    figure = mistakes_figure(IMAGES[:3], np.zeros(3, int), probabilities, ("x", "y"))
    assert [index for index, _ in shown(figure)] == [0, 2, 1]


def test_long_names_take_three_lines_and_names_cut_alike_are_still_mistakes() -> None:
    names = ("a very long name of a class, one", "a very long name of a class, two", "c")
    captions = [text for _, text in shown(mistakes_figure(IMAGES, LABELS, PROBABILITIES, names))]
    assert captions[2] == "a very long name…\n→ a very long name…\n60 %"


@pytest.mark.parametrize("channels", [1, 3])
def test_the_file_shows_the_images(tmp_path: Path, channels: int) -> None:
    images = np.full((5, 8, 8, channels), 77, np.uint8)
    draw_mistakes(images, LABELS, PROBABILITIES, NAMES, tmp_path / "mistakes.png", count=2)
    assert (pixels(tmp_path / "mistakes.png") == 77).all(-1).sum() > 2 * 100 * 100


def test_arrays_of_jax_in_bfloat16(tmp_path: Path) -> None:
    probabilities = jnp.asarray(PROBABILITIES, jnp.bfloat16)
    figure = mistakes_figure(jnp.asarray(IMAGES), jnp.asarray(LABELS), probabilities, NAMES, count=1)
    assert [index for index, _ in shown(figure)] == [2]


LOGITS = np.log(np.maximum(PROBABILITIES, 1e-3))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"count": 0}, ValueError, "count=0 must be at least 1"),
        (
            {"images": IMAGES[..., 0]},
            ValueError,
            r"must have the shape \(n, height, width, channels\), not \(5, 4, 4\)",
        ),
        ({"images": IMAGES[:0]}, ValueError, r"must have the shape \(n, height, width, channels\), not \(0, 4, 4, 1\)"),
        ({"labels": LABELS[:4]}, ValueError, r"5 images require as many labels, but labels.shape=\(4,\)"),
        ({"probabilities": PROBABILITIES[:, :2]}, ValueError, r"of the shape \(5, 3\), not \(5, 2\)"),
        ({"class_names": ("a", "b")}, ValueError, r"2 class names require .* of the shape \(5, 2\), not \(5, 3\)"),
        ({"labels": LABELS / 1.0}, TypeError, "labels must have an integer dtype, not float64"),
        ({"labels": LABELS + 1}, ValueError, r"labels of 3 classes must be in 0\.\.2, but are from 1 to 3"),
        ({"labels": LABELS - 1}, ValueError, r"labels of 3 classes must be in 0\.\.2, but are from -1 to 1"),
        ({"probabilities": LOGITS}, ValueError, "must add up to 1; are these logits"),
        ({"probabilities": PROBABILITIES * 2}, ValueError, "must add up to 1; are these logits"),
        ({"probabilities": PROBABILITIES * np.nan}, ValueError, "must add up to 1; are these logits"),
    ],
)
def test_refuses(tmp_path: Path, changes: dict[str, Any], error: type, message: str) -> None:
    given = {"images": IMAGES, "labels": LABELS, "probabilities": PROBABILITIES, "class_names": NAMES} | changes
    with pytest.raises(error, match="draw_mistakes: .*" + message):
        draw_mistakes(**given, path=tmp_path / "mistakes.png")
    assert not list(tmp_path.iterdir())
