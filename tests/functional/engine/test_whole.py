"""Convolutions in which every output reads every input as one matrix product, against loops."""

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
    for size, channels in ((2, 256), (1, 512)):
        geometry = conv_geometry((128, size, size, channels), (3, 3, channels, channels), padding=1)
        for operation in ("forward", "input_grad"):
            choice = choose(plan_of(geometry), operation, platform="cpu", partitioned=False)  # type: ignore[arg-type]
            assert choice.algorithm == "whole"


def test_what_it_does_not_support() -> None:
    def why_not(size: int, **options: int) -> str | None:
        found = explain_conv((2, size, size, 4), (3, 3, 4, 4), platform="cpu", **options)  # type: ignore[arg-type]
        return next(each.why_not for each in found.forward.candidates if each.algorithm == "whole")

    assert why_not(3, padding=1) == "it requires at most 64 pairs of an input and an output position, and there are 81"
    for options in ({"padding": 2}, {"padding": 2, "kernel_dilation": 2}):
        assert why_not(2, **options) == "it requires that every output reads every input"
