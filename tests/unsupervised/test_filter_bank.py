"""Hand-made filters respond to their intended patterns."""

from typing import Any

import numpy as np
import pytest

from jaxcnn._errors import ShapeError
from jaxcnn.unsupervised import filter_bank


def test_each_filter_responds_most_to_the_grating_of_its_angle_and_period() -> None:
    wavelengths, orientations = (4.0, 8.0), 4
    bank = np.asarray(filter_bank((15, 15), wavelengths=wavelengths, orientations=orientations, channels=3))
    assert bank.shape == (15, 15, 3, 16)
    np.testing.assert_allclose(bank.sum((0, 1)), 0, atol=1e-5)
    np.testing.assert_allclose((bank**2).sum((0, 1, 2)), 1, rtol=1e-5)
    y, x = np.mgrid[-7:8, -7:8]
    gratings = [
        (2 * np.pi / wavelength) * (x * np.cos(angle) + y * np.sin(angle))
        for wavelength in wavelengths
        for angle in np.pi * np.arange(orientations) / orientations
    ]
    even, odd = bank[:, :, 0, 0::2], bank[:, :, 0, 1::2]
    for filters, wave in ((even, np.cos), (odd, np.sin)):
        responses = [[(filters[..., k] * wave(grating)).sum() for k in range(8)] for grating in gratings]
        np.testing.assert_array_equal(np.argmax(responses, 1), range(8))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"orientations": 0}, ValueError, "filter_bank: orientations=0 must be at least 1"),
        ({"wavelengths": []}, ValueError, "expected positive wavelengths, at least one, got"),
        ({"wavelengths": [0.0]}, ValueError, "expected positive wavelengths"),
        ({"wavelengths": [4.0, 2.0]}, ValueError, r"in a window of \(3, 3\) the odd filter of wavelength 2.0 and orie"),
        ({"window_shape": (1, 7)}, ValueError, r"\(1, 7\) the odd filter of wavelength 4.0 and orientation 1.57 is"),
        ({"window_shape": (1, 1)}, ValueError, r"the even filter .* is the same number at each pixel. Use a larger"),
        ({"window_shape": (3, 3, 3)}, ShapeError, "window_shape"),
    ],
)
def test_other_arguments_are_refused(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        filter_bank(**{"window_shape": (3, 3), **options})
