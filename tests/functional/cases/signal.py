"""Rows for correlation and convolution of signals without batch and channels."""

from jaxcnn.functional._signal import autocorrelate, convolve, correlate
from tests.functional.cases.case import Case

CASES = [
    Case(
        function="correlate", call=correlate, shapes=((5, 4), (3, 2)), batched=(False, False), symbolic=("h, w", "n, m")
    ),
    Case(
        function="correlate",
        call=lambda x, y: correlate(x, y, mode="same"),
        shapes=((3,), (6,)),
        batched=(False, False),
        note="same, the second larger",
        like="correlate",
    ),
    Case(
        function="convolve",
        call=lambda x, y: convolve(x, y, mode="same"),
        shapes=((5, 4), (2, 5)),
        batched=(False, False),
        note="same",
        like="correlate",
    ),
    Case(
        function="convolve",
        call=lambda x, y: convolve(x, y, mode="valid", algorithm="fft"),
        shapes=((7,), (3,)),
        batched=(False, False),
        note="valid, by spectra",
        like="conv-fft, circular",
    ),
    Case(function="autocorrelate", call=autocorrelate, shapes=((4, 3),), batched=(False,), like="correlate"),
]
