"""The sheet of augmentations: a row for each function of the package, and the command that draws it."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import augment
from jaxcnn.cli import main
from jaxcnn.vis._augmentations import augmentations, augmentations_figure
from tests.ink import assert_drawn_alike

NOT_A_ROW = {
    "affine",
    "average_over_views",
    "chain",
    "color_axes",
    "flip_views",
    "mixup_or_cutmix",
    "on",
    "per_clip",
    "random_scene_crop",  # these take a batch with its boxes and label maps
    "random_scene_flip",
    "random_scene_mosaic",
    "random_scene_scale",
    "shift_views",
}


def test_every_public_augmentation_has_its_row() -> None:
    rows = augmentations(jnp.zeros((2, 8, 8, 3)), own=lambda key, x: x)
    public = {name for name in augment.__all__ if not name.startswith("adjust_")} - NOT_A_ROW
    assert set(rows) - {"none", "the experiment's"} == public


def test_rows_show_what_was_made_in_their_order() -> None:
    images = jnp.asarray(np.random.default_rng(0).uniform(size=(3, 6, 8, 1)).astype(np.float32))
    rows = {"none": lambda key, x: x, "twice": lambda key, x: 2 * x}
    axes = augmentations_figure(images, rows, title="Two").axes[0]
    assert [text.get_text() for text in axes.texts] == ["none", "twice"]
    for index, drawn in enumerate(axes.images):
        expected = np.clip((1, 2)[index // 3] * np.asarray(images[index % 3, ..., 0]), 0, 1)
        np.testing.assert_allclose(drawn.get_array(), expected)
        left, right, bottom, top = drawn.get_extent()
        assert (right - left) / (top - bottom) == pytest.approx(8 / 6), "pixels are square"
    with pytest.raises(
        ValueError, match=r"augmentations_figure: images must have the shape \(n, height, width, 1 or 3\)"
    ):
        augmentations_figure(images[0], rows, title="")
    with pytest.raises(ValueError, match="there is no augmentation to draw"):
        augmentations_figure(images, {}, title="")


@pytest.mark.gate
def test_the_verb_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sheet.png"
    assert main(["show", "lenet5_digits", "--augment", str(path)]) == 0
    assert capsys.readouterr().out.strip() == str(path)
    assert_drawn_alike(path, Path(__file__).parent.parent.parent / "docs" / "images" / "augmentations.png")
