"""Rows for the kernels of image processing."""

from jaxcnn.functional import filters
from tests.functional.cases.case import Case

CASES = [
    Case(
        function="filters.apply_filter",
        call=lambda x, kernel: filters.apply_filter(x, kernel, padding_mode="reflect"),
        shapes=((8, 5, 4, 3), (3, 3)),
        symbolic=("b, h, w, ...", "..."),
        batched=(True, False),
        like="conv-grouped",
    ),
    Case(
        function="filters.apply_filter",
        call=lambda x, kernel: filters.apply_filter(x, kernel, padding=(1, 2)),
        shapes=((8, 6, 5, 1), (4, 2)),
        batched=(True, False),
        note="one channel",
        like="conv-grouped",
    ),
    Case(function="filters.box", call=lambda: filters.box((2, 3)), shapes=(), batched=(), like="filters.sobel"),
    Case(
        function="filters.gaussian",
        call=lambda sigma: filters.gaussian((4, 3), sigma=sigma),
        shapes=((2,),),
        batched=(False,),
        positive=(True,),
        like="filters.gabor",
    ),
    Case(function="filters.prewitt", call=lambda: filters.prewitt(axis=1), shapes=(), batched=(), like="filters.sobel"),
    Case(function="filters.sobel", call=lambda: filters.sobel(axis=2, ndim=3), shapes=(), batched=()),
    Case(
        function="filters.laplacian",
        call=lambda: filters.laplacian(diagonals=True),
        shapes=(),
        batched=(),
        like="filters.sobel",
    ),
    Case(
        function="filters.high_pass",
        call=lambda: filters.high_pass((3, 5)),
        shapes=(),
        batched=(),
        like="filters.sobel",
    ),
    Case(
        function="filters.sharpen",
        call=lambda amount: filters.sharpen(amount=amount),
        shapes=((),),
        batched=(False,),
        like="filters.gabor",
    ),
    Case(
        function="filters.gabor",
        call=lambda wavelength, sigma, orientation, aspect, phase: filters.gabor(
            (4, 5), wavelength=wavelength, sigma=sigma, orientation=orientation, aspect=aspect, phase=phase
        ),
        shapes=((),) * 5,
        batched=(False,) * 5,
        positive=(True, True, False, False, False),
    ),
]
