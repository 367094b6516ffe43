"""The selection follows the cost of XLA's own convolution in the installed release."""

import pytest

from jaxcnn._geometry import ConvGeometry, conv_geometry
from jaxcnn.functional._engine._algorithms import _depth, _xla_cost
from jaxcnn.functional._engine._choose import choose
from jaxcnn.functional._engine._plan import Operation
from tests.functional.engine.dense import plan_of

SPEED_RUN = conv_geometry((512, 31, 31, 24), (3, 3, 24, 64))
STEM_OF_32 = conv_geometry((16, 96, 96, 3), (3, 3, 3, 32), strides=2, padding=1)
STEM_OF_64 = conv_geometry((8, 224, 224, 3), (7, 7, 3, 64), strides=2, padding=3)


@pytest.fixture(autouse=True)
def without_avx512(monkeypatch: pytest.MonkeyPatch) -> None:
    """The choice is that of one processor, whichever this is."""
    monkeypatch.setattr(_xla_cost, "AVX512", False)


@pytest.mark.parametrize(
    ("geometry", "slow", "taken"),
    [
        (SPEED_RUN, True, "winograd"),
        (SPEED_RUN, False, "xla"),
        (STEM_OF_32, True, "broadcast"),
        (STEM_OF_32, False, "xla"),
        (STEM_OF_64, True, "xla"),
        (STEM_OF_64, False, "xla"),
    ],
)
def test_other_algorithms_are_chosen_if_packing_is_slow(
    monkeypatch: pytest.MonkeyPatch, geometry: ConvGeometry, slow: bool, taken: str
) -> None:
    """The costs are those measured with JAX 0.10.2, where XLA's own is slow, and 0.12, where it is not."""
    monkeypatch.setattr(_xla_cost, "SLOW_PACKING", slow)
    assert choose(plan_of(geometry), "forward", platform="cpu", partitioned=False).algorithm == taken


@pytest.mark.parametrize(
    ("x_shape", "kernel_shape", "strides", "groups", "operation", "slow"),
    [
        ((32, 2048, 64), (9, 32, 64), 2, 2, "input_grad", False),  # 75 MB of packed windows in each block of channels
        ((32, 7, 7, 7, 128), (5, 5, 5, 64, 128), 1, 2, "forward", True),  # planes on one thread
    ],
)
def test_wide_groups_keep_the_algorithm_of_xla(
    monkeypatch: pytest.MonkeyPatch,
    x_shape: tuple[int, ...],
    kernel_shape: tuple[int, ...],
    strides: int,
    groups: int,
    operation: Operation,
    slow: bool,
) -> None:
    """On these layers ``grouped`` took 1.4 times the time of XLA's own (0.12), and ``depth`` 1.7 times (0.10.2)."""
    for module in (_xla_cost, _depth):
        monkeypatch.setattr(module, "SLOW_PACKING", slow)
    geometry = conv_geometry(x_shape, kernel_shape, strides=strides, padding="VALID", feature_group_count=groups)
    assert choose(plan_of(geometry), operation, platform="cpu", partitioned=False).algorithm == "xla"


@pytest.mark.parametrize(
    ("images", "window", "channels", "out_channels", "taken"),
    [
        (512, 2, 3, 24, "im2col"),  # the whitening layer of the speed run: 35 ms, against 240 ms by XLA
        (128, 2, 1, 24, "im2col"),
        (128, 2, 4, 24, "im2col"),
        (128, 3, 2, 24, "im2col"),
        (128, 5, 3, 24, "im2col"),
        (64, 3, 8, 32, "im2col"),
        (64, 5, 8, 32, "im2col"),
        (64, 1, 3, 32, "matmul"),
        (16, 2, 3, 24, "im2col"),
        (16, 3, 1, 64, "im2col"),
        (16, 5, 3, 24, "xla"),
        (16, 5, 8, 24, "xla"),
    ],
)
def test_kernel_gradients_of_few_channels_take_the_fastest_algorithm(
    images: int, window: int, channels: int, out_channels: int, taken: str
) -> None:
    """As measured with JAX 0.12 on maps of 32x32 pixels, where XLA packs its operands for only a few products."""
    geometry = conv_geometry((images, 32, 32, channels), (window, window, channels, out_channels), padding="VALID")
    assert choose(plan_of(geometry), "kernel_grad", platform="cpu", partitioned=False).algorithm == taken


@pytest.mark.parametrize(
    ("x_shape", "kernel_shape", "without", "taken"),
    [
        ((12, 56, 56, 128), (5, 5, 128, 32), "im2col", "xla"),  # 68 ms, against 176 by im2col
        ((34, 14, 14, 91), (5, 5, 91, 64), "im2col", "xla"),  # 16 ms, against 36
        ((1, 51, 51, 512), (3, 3, 512, 3), "xla", "winograd"),  # 12 ms, against 71
        ((98, 15, 15, 16), (2, 2, 16, 256), "im2col", "im2col"),  # 25 ms, against 89
    ],
)
def test_the_kernel_gradient_of_xla_is_estimated_for_avx512(
    monkeypatch: pytest.MonkeyPatch,
    x_shape: tuple[int, ...],
    kernel_shape: tuple[int, ...],
    without: str,
    taken: str,
) -> None:
    """As measured with JAX 0.12 on two cores with AVX-512."""
    plan = plan_of(conv_geometry(x_shape, kernel_shape, padding="SAME"))
    assert choose(plan, "kernel_grad", platform="cpu", partitioned=False).algorithm == without
    monkeypatch.setattr(_xla_cost, "AVX512", True)
    assert choose(plan, "kernel_grad", platform="cpu", partitioned=False).algorithm == taken
