"""The layer and the direction of an operation of a compiled step; ``tests/cli/test_profile.py`` profiles a run."""

import pytest

from jaxcnn.train._profiling import place_of


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("jit(step)/jvp(Net)/stage/block_0/conv/dot_general", ("stage/block_0/conv", False)),
        ("jit(step)/transpose(jvp(Net))/stage/block_0/conv/dot_general", ("stage/block_0/conv", True)),
        ("jit(step)/shard_map/transpose(jvp(Net))/checkpoint/conv/cond/branch_1_fun/mul", ("conv", True)),
        ("jit(step)/jvp(Net)/reshape", ("between layers", False)),
        ("jit(step)/transpose(jvp(compute_loss))/mul", ("compute_loss", True)),
        ("jit(step)/update_state/mul", ("update_state", False)),
        ("", ("other", False)),
    ],
)
def test_where_an_operation_belongs(name: str, expected: tuple[str, bool]) -> None:
    layers = {("conv",), ("stage", "block_0", "conv"), ("stage", "block_0", "norm")}
    assert place_of(name, layers) == expected
