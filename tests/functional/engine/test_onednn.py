"""Operations that oneDNN's convolution does not support; ``tests/bench/test_trial.py`` tests its results."""

from typing import Any

import pytest

from jaxcnn._geometry import conv_geometry
from jaxcnn.functional._engine._algorithms import MEASURED_ALGORITHMS
from tests.functional.engine.dense import plan_of

X, KERNEL = (2, 7, 8, 6), (3, 2, 3, 4)


@pytest.mark.parametrize(
    ("shapes", "options", "reason"),
    [
        ((X, KERNEL), {"dtype": "bfloat16"}, "it is for float32, and this is bfloat16"),
        ((X, KERNEL), {"input_dilation": 2}, "it does not dilate the input"),
        (((0, *X[1:]), KERNEL), {}, "it takes no empty arrays"),
        ((X, KERNEL), {"padding": [(-1, 0), (0, 0)]}, "crops nothing"),
        (((1, *[4] * 4, 2), (*[2] * 4, 1, 2)), {}, "one to three spatial axes"),
    ],
)
def test_what_it_does_not_support(shapes: Any, options: dict[str, Any], reason: str) -> None:
    dtype = options.pop("dtype", "float32")
    plan = plan_of(conv_geometry(*shapes, feature_group_count=2, **options), dtype=dtype)
    assert reason in str(MEASURED_ALGORITHMS["onednn"].why_not(plan, "forward"))
    assert "computes no kernel gradient" in str(MEASURED_ALGORITHMS["onednn"].why_not(plan, "kernel_grad"))
