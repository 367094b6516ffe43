"""Contact sheets: each image in its place with its own pixels and its caption."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn.vis import contact_sheet


def random_images(count: int, *, channels: int = 1, height: int = 6, width: int = 8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, height, width, channels), np.uint8)


def captions(count: int) -> list[str]:
    return [f"image {index}" for index in range(count)]


@pytest.mark.parametrize("channels", [1, 3])
def test_images_lie_in_rows_with_their_own_pixels(channels: int) -> None:
    images = random_images(7, channels=channels)
    axes = contact_sheet(images, captions(7), columns=3, title="Seven").axes[0]
    assert [text.get_text() for text in axes.texts] == captions(7)
    lefts, tops = [], []
    for image, drawn in zip(images, axes.images, strict=True):
        np.testing.assert_allclose(drawn.get_array(), image.squeeze() / np.float32(255), rtol=1e-6)
        left, right, bottom, top = drawn.get_extent()
        assert (right - left) / (top - bottom) == pytest.approx(8 / 6), "pixels are square"
        lefts.append(left)
        tops.append(top)
    assert lefts[0] < lefts[1] < lefts[2] and lefts[3] == lefts[0] and lefts[5] == lefts[2]
    assert tops[0] == tops[2] > tops[3] == tops[5] > tops[6]


def test_the_sheet_draws_what_it_was_given() -> None:
    images = np.zeros((2, 4, 4, 3), np.uint8)
    images[1] = [10, 200, 30]
    figure = contact_sheet(images, captions(2), columns=2, title="Two")
    figure.canvas.draw()
    seen = np.asarray(figure.canvas.buffer_rgba())[..., :3]
    for colour in ([0, 0, 0], [10, 200, 30]):
        assert (seen == colour).all(-1).sum() > 5000


def test_grey_means_the_same_in_every_image() -> None:
    images = np.stack([np.full((4, 4, 1), 100, np.uint8), np.full((4, 4, 1), 200, np.uint8)])
    for drawn, value in zip(contact_sheet(images, "ab", columns=2, title="").axes[0].images, (100, 200), strict=True):
        assert drawn.to_rgba(drawn.get_array(), bytes=True)[0, 0, :3].tolist() == [value] * 3


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_floats_in_zero_to_one_are_drawn_as_their_bytes(dtype: type) -> None:
    images = random_images(2)
    floats = jnp.asarray(images / np.float32(255)).astype(dtype)
    ours, bytes_ = (contact_sheet(x, "ab", columns=2, title="").axes[0].images for x in (floats, images))
    for one, other in zip(ours, bytes_, strict=True):
        np.testing.assert_allclose(one.get_array(), other.get_array(), atol=4e-3)


def test_captions_and_title_lie_inside_and_do_not_touch() -> None:
    figure = contact_sheet(random_images(16), ["two long lines\n→ of a caption"] * 16, columns=8, title="Sixteen " * 8)
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in [*figure.axes[0].texts, *figure.texts]]
    for index, box in enumerate(boxes):
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1
        assert not any(box.overlaps(other) for other in boxes[index + 1 :])
        assert not any(box.overlaps(image.get_window_extent()) for image in figure.axes[0].images)


@pytest.mark.parametrize(
    ("images", "count", "columns", "error", "message"),
    [
        (
            np.zeros((2, 4, 4), np.uint8),
            2,
            2,
            ValueError,
            r"must have the shape \(n, height, width, 1 or 3\), but images.s",
        ),
        (np.zeros((2, 4, 4, 2), np.uint8), 2, 2, ValueError, r"1 or 3\), but images.shape=\(2, 4, 4, 2\)"),
        (np.zeros((0, 4, 4, 1), np.uint8), 0, 2, ValueError, "images of the shape .* have no pixels"),
        (np.zeros((2, 4, 4, 1), np.uint8), 3, 2, ValueError, "2 images require as many captions, not 3"),
        (np.zeros((2, 4, 4, 1), np.uint8), 2, 0, ValueError, "columns=0 must be at least 1"),
        (np.zeros((2, 4, 4, 1), np.int32), 2, 2, TypeError, r"must be uint8, or floats in \[0, 1\], not int32"),
        (np.full((2, 4, 4, 1), 255.0), 2, 2, ValueError, r"must be in \[0, 1\], but these are from 255 to 255"),
        (np.full((2, 4, 4, 1), -0.5), 2, 2, ValueError, r"must be in \[0, 1\], but these are from -0.5"),
        (np.full((2, 4, 4, 1), np.nan), 2, 2, ValueError, r"must be in \[0, 1\], but these are from nan"),
    ],
)
def test_refuses(images: np.ndarray, count: int, columns: int, error: type, message: str) -> None:
    with pytest.raises(error, match="contact_sheet: .*" + message):
        contact_sheet(images, captions(count), columns=columns, title="")
