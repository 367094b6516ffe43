"""The layer and the direction of an operation of a compiled step; ``tests/cli/test_profile.py`` profiles a run."""

import pytest

from jaxcnn.train._profiling import layers_of, place_of


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


def test_layers_of_networks_with_keys_of_their_own() -> None:
    """An objective that applies two networks keeps their parameters in one tree, whose keys are in no name."""
    layers = layers_of({"video": {"block": {"conv": {"kernel": 0}}}, "flow": {"head": {"kernel": 0, "bias": 0}}})
    assert place_of("jit(step)/transpose(jvp(Stream))/block/conv/mul", layers) == ("block/conv", True)
    assert place_of("jit(step)/jvp(Stream)/head/dot_general", layers) == ("head", False)
    assert place_of("jit(step)/jvp(Stream)/relu/max", layers) == ("between layers", False)
