"""Programs with the algorithms of a CPU, compared with the convolutions of their files."""

import dataclasses
from typing import Any

import jax
import numpy as np
import pytest

from jaxcnn import functional as F
from jaxcnn.export import portable, quantize
from jaxcnn.export._for_cpu import for_cpu
from tests.export.networks import difference

# The shapes of images and kernel, the options, and the operation that the CPU runs.
CASES: list[tuple[tuple[int | None, ...], tuple[int, ...], dict[str, Any], str]] = [
    ((1, 14, 14, 48), (3, 3, 48, 48), {"padding": 1}, "dot_general"),  # Winograd's minimal filtering
    ((3, 5, 9, 50), (3, 3, 50, 60), {"padding": ((0, 2), (1, 3))}, "dot_general"),
    ((1, 7, 7, 32), (3, 3, 32, 8), {"padding": 1, "strides": 2}, "dot_general"),  # a matrix product of rows
    ((2, 6, 5, 32), (4, 2, 32, 3), {"padding": ((1, 0), (2, 1)), "strides": (1, 3)}, "dot_general"),
    ((1, 9, 9, 5), (1, 1, 5, 7), {"strides": 2}, "dot_general"),
    ((1, 20, 20, 5), (1, 1, 5, 7), {}, "dot_general"),
    ((8, 1, 1, 256), (3, 3, 256, 128), {"padding": 1}, "dot_general"),  # a window larger than the map
    ((2, 32, 32, 64), (3, 3, 1, 64), {"padding": 1, "feature_group_count": 64}, "multiply"),
    ((None, 12, 12, 8), (3, 3, 1, 8), {"padding": 1, "feature_group_count": 8}, "multiply"),
    ((None, 6, 6, 5), (1, 1, 5, 7), {}, "dot_general"),
    ((None, 6, 6, 5), (3, 3, 5, 7), {}, "convolution"),
    ((1, 14, 14, 48), (3, 3, 48, 48), {"padding": 1, "precision": "highest"}, "convolution"),
    ((1, 14, 14, 48), (3, 3, 48, 48), {"padding": 2, "kernel_dilation": 2}, "convolution"),
    ((1, 9, 4), (3, 4, 2), {}, "convolution"),
]


@pytest.mark.parametrize(("shape", "kernel_shape", "options", "operation"), CASES)
def test_the_values_are_those_of_the_file(
    shape: tuple[int | None, ...], kernel_shape: tuple[int, ...], options: dict[str, Any], operation: str
) -> None:
    generator = np.random.default_rng(0)
    kernel = generator.normal(size=kernel_shape).astype(np.float32)
    bias = generator.normal(size=kernel_shape[-1]).astype(np.float32)
    program = portable(lambda x: F.conv(x, kernel, bias=bias, **options), shape)
    x = generator.normal(size=[size or 2 for size in shape]).astype(np.float32)
    assert difference(program.exported.call(x), program(x)) < 2e-5
    fast = dataclasses.replace(program, operations=tuple(for_cpu(program.operations)))
    text = fast.exported.mlir_module()
    assert f"stablehlo.{operation}" in text
    assert ("stablehlo.convolution" in text) == (operation == "convolution")
    assert "stablehlo.convolution" in program.exported.mlir_module()  # the file does not change


def test_integers_stay_integers() -> None:
    generator = np.random.default_rng(0)
    kernel, x = (generator.normal(size=size).astype(np.float32) for size in ((3, 3, 8, 4), (2, 6, 6, 8)))
    small = quantize(portable(lambda x: F.conv(x, kernel), x.shape), x)
    np.testing.assert_array_equal(small(x), jax.jit(small.exported.call)(x))
