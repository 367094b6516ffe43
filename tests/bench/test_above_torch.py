"""The tables of operations that are slower than in PyTorch, and of compile times."""

import jax.numpy as jnp
import numpy as np
import pytest

from docs.bench.above_torch import VIDEO_PEERS, tables
from docs.bench.compile_costs import PHASES
from docs.bench.compile_page import kinds_table, phases_table
from docs.bench.compiled_steps import flax_max_pool
from jaxcnn import functional as F


@pytest.mark.parametrize("strides", [(1, 2, 2), 2])
def test_stock_pools_have_steps_of_their_own_on_each_axis(strides: int | tuple[int, ...]) -> None:
    """The pools of C3D, compared with ours."""
    x = np.random.default_rng(0).standard_normal((1, 3, 7, 7, 2)).astype(np.float32)
    found = flax_max_pool(jnp.asarray(x), (1, 2, 2), strides=strides, ceil_mode=True)
    np.testing.assert_array_equal(found, F.max_pool(x, (1, 2, 2), strides=strides, ceil_mode=True))


def test_layers_and_video_steps_are_compared_with_pytorch() -> None:
    layer = {"family": "grouped", "name": "grp", "operation": "forward", "algorithm": "grouped", "tuned": "onednn"}
    times = {"ours": 6.0, "ours, tuned": 3.0, "torch": 2.0}
    step = {"input": [1, 16, 112, 112, 3], "milliseconds": dict(zip(VIDEO_PEERS, (4.0, 40.0, 2.0), strict=True))}
    lines = tables(
        {"layers": [layer | {"milliseconds": times}], "steps": {"c3d": step}, "versions": {"jax": "0.12"}}
    ).splitlines()
    assert "| grp | forward | grouped | onednn | 6 | 3 | 2 | 3 | 1.5 |" in lines
    assert "| `c3d` | 1x16x112x112x3 | 4 | 40 | 2 | 2 | 10 |" in lines
    assert [line[:10] for line in lines if line.startswith("- ")] == ["- Grouped."]


def test_costs_have_a_row_for_each_peer_and_version() -> None:
    def cost(seconds: float, kernels: int) -> dict:
        operations = {"norms": {"kernels": kernels, "seconds": seconds}}
        return dict.fromkeys(PHASES, seconds) | {"kernels": kernels, "instructions": 9, "operations": operations}

    costs = {label: {"lenet5": {"ours": cost(2.0, 4), "stock": cost(1.0, 3)}} for label in ("before", "now")}
    assert phases_table(costs).splitlines()[-1] == "| `lenet5` | ours, now | 2 | 2 | 2 | 2 | 2 | 10 | 2 | 4 | 9 |"
    assert kinds_table(costs).splitlines()[2:] == ["| `lenet5` | ours | 2 (4) |", "| `lenet5` | stock | 1 (3) |"]
