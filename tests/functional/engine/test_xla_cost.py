"""The choice follows what XLA's own convolution costs in the release that is installed."""

import pytest

from jaxcnn._geometry import ConvGeometry, conv_geometry
from jaxcnn.functional._engine._algorithms import _xla_cost
from jaxcnn.functional._engine._choose import choose
from tests.functional.engine.dense import plan_of

SPEED_RUN = conv_geometry((512, 31, 31, 24), (3, 3, 24, 64))
STEM_OF_32 = conv_geometry((16, 96, 96, 3), (3, 3, 3, 32), strides=2, padding=1)
STEM_OF_64 = conv_geometry((8, 224, 224, 3), (7, 7, 3, 64), strides=2, padding=3)


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
    """As measured with JAX 0.10.2, where it is slow, and 0.12, where it is not."""
    monkeypatch.setattr(_xla_cost, "SLOW_PACKING", slow)
    assert choose(plan_of(geometry), "forward", platform="cpu", partitioned=False).algorithm == taken
