"""The comparison with stock JAX on random layers: the layers that it draws, and which results count as slower."""

import math
from typing import Any

import pytest

from docs.bench import random_layers
from docs.bench.random_layers import check, draw_layers
from jaxcnn.bench import ConvLayer
from jaxcnn.bench._timing import Times

DEPTHWISE = ConvLayer(name="a", about="", x_shape=(8, 28, 28, 64), kernel_shape=(3, 3, 1, 64), groups=64)


def test_layers_are_the_same_for_a_seed_and_of_every_family() -> None:
    layers = draw_layers(60, 0)
    assert layers == draw_layers(60, 0) != draw_layers(60, 1)
    assert {layer.family for layer in layers} == {"dense", "depthwise", "grouped"}
    assert all(math.prod(layer.x_shape) <= 8e6 and layer.geometry.multiply_adds <= 1e9 for layer in layers)


def test_the_choice_of_xla_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    dense = ConvLayer(name="b", about="", x_shape=(1, 8, 8, 64), kernel_shape=(1, 1, 64, 64))
    found = check(dense, "forward", seconds=0, tries=1, clock=lambda: pytest.fail("nothing is timed"))
    assert (found["algorithm"], found["ratio"]) == ("xla", 1.0)


def test_what_looks_slower_is_measured_again_for_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def measure(runs: Any, *, seconds: float, **_: Any) -> dict[str, Times]:
        tried.append(seconds)
        return {"ours": Times([4.0 - len(tried)]), "stock": Times([1.5])}

    clock = iter([0.0, 4.0, 5.0, 7.0])  # single runs of 4 and of 2 seconds
    monkeypatch.setattr(random_layers, "measure", measure)
    found = check(DEPTHWISE, "forward", seconds=1, tries=3, clock=lambda: next(clock))
    assert tried == [1, 2, 4]  # the third try is as fast as stock
    assert found["ratio"] == 1.5
