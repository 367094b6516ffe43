"""Convolutions of small maps as one matrix product, against loops."""

from typing import Any

import pytest

from jaxcnn._geometry import conv_geometry
from jaxcnn.functional import explain_conv
from jaxcnn.functional._engine._algorithms import _whole
from jaxcnn.functional._engine._choose import choose
from tests.functional.engine.dense import check, plan_of

CASES: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ((2, 3, 4), (3, 4, 2), {"padding": "VALID"}),
    ((2, 2, 3), (4, 3, 2), {"padding": ((1, 2),)}),
    ((2, 1, 2), (3, 2, 3), {"padding": 2, "kernel_dilation": 2}),
    ((2, 2, 2, 3), (3, 4, 3, 2), {"padding": ((1, 1), (2, 1))}),
    ((1, 1, 2, 3), (5, 3, 3, 2), {"padding": (2, 1), "strides": (2, 1)}),
    ((2, 2, 1, 2, 3), (3, 1, 3, 3, 2), {"padding": (1, 0, 1)}),
    # Some outputs do not read some inputs.
    ((2, 4, 3, 2), (5, 5, 2, 3), {"padding": 2}),
    ((2, 5, 4, 1), (2, 3, 1, 2), {"strides": (2, 1), "padding": ((0, 1), (2, 0)), "kernel_dilation": (1, 2)}),
    ((1, 3, 2, 2), (3, 2, 2, 1), {"input_dilation": (2, 3), "padding": (2, 1)}),
    ((2, 3, 2), (3, 2, 2), {"padding": ((-1, 2),)}),
]


@pytest.mark.parametrize(("x_shape", "kernel_shape", "options"), CASES)
def test_it_agrees_with_loops(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], options: dict[str, Any]) -> None:
    check(_whole.ALGORITHM, conv_geometry(x_shape, kernel_shape, **options), "forward")


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("strides", [1, 2])
def test_small_maps_of_a_residual_network(size: int, strides: int) -> None:
    """The last 3x3 convolutions of a ResNet-18 of 32x32 pixels: forward, and backward, where the input is dilated."""
    geometry = conv_geometry((3, size, size, 2), (3, 3, 2, 4), strides=strides, padding=1)
    check(_whole.ALGORITHM, geometry, "forward")
    check(_whole.ALGORITHM, geometry.transposed(), "forward")


def test_it_is_chosen_where_xla_exchanges_image_and_kernel() -> None:
    for size, window, channels in ((2, 3, 256), (1, 3, 512), (4, 5, 64), (5, 7, 32)):
        kernel_shape = (window, window, channels, channels)
        geometry = conv_geometry((128, size, size, channels), kernel_shape, padding=window // 2)
        for operation in ("forward", "input_grad"):
            choice = choose(plan_of(geometry), operation, platform="cpu", partitioned=False)  # type: ignore[arg-type]
            assert choice.algorithm == "whole"


def test_what_it_does_not_support() -> None:
    def why_not(size: int, channels: int) -> str | None:
        kernel_shape = (3, 3, channels, channels)
        found = explain_conv((2, size, size, channels), kernel_shape, platform="cpu", padding=1)
        return next(each.why_not for each in found.forward.candidates if each.algorithm == "whole")

    assert why_not(7, 4) is None
    too_many = "it requires at most 2401 pairs of an input and an output position, and there are 4096"
    assert why_not(8, 4) == too_many
    assert why_not(2, 2049) == "it requires a matrix of at most 67108864 entries, and there are 67174416"
    assert why_not(2, 2048) is None
