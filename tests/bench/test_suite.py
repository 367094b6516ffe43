"""The benchmark suite has the expected entries, and all peers compute the same results."""

import importlib.util
import math
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxcnn.bench import _flax_models, _jax_layers, _steps, _suite, _torch_layers, _torch_models
from jaxcnn.bench._layers import ConvLayer, Entry, NormLayer, PoolLayer, Step
from jaxcnn.bench._program import relative_error
from jaxcnn.bench._runner import is_wrong, run_entry
from tests.tiers import default_rows

TINY = (
    ConvLayer(name="plain", about="", x_shape=(2, 6, 7, 4), kernel_shape=(3, 3, 4, 5)),
    ConvLayer(name="strided", about="", x_shape=(2, 8, 8, 4), kernel_shape=(3, 3, 4, 6), strides=2),
    ConvLayer(name="depthwise", about="", x_shape=(2, 6, 6, 4), kernel_shape=(3, 3, 1, 4), groups=4),
    ConvLayer(name="up", about="", x_shape=(2, 3, 3, 4), kernel_shape=(4, 4, 4, 2), input_dilation=2, padding=2),
    ConvLayer(name="sound", about="", x_shape=(2, 9, 4), kernel_shape=(3, 4, 4), kernel_dilation=2),
    ConvLayer(name="volume", about="", x_shape=(1, 4, 4, 4, 2), kernel_shape=(3, 3, 3, 2, 2)),
    PoolLayer(name="max", about="", x_shape=(2, 6, 6, 3), maximum=True, window=3, strides=2, padding=1),
    PoolLayer(name="average", about="", x_shape=(2, 6, 6, 3), maximum=False, window=3, strides=1, padding=1),
    PoolLayer(
        name="fused", about="", x_shape=(4, 9, 9, 3), maximum=True, window=3, strides=2, padding=1, after_norm=True
    ),
    NormLayer(name="norm", about="", x_shape=(4, 5, 5, 3)),
)


def test_suite_has_what_the_engine_is_held_to() -> None:
    convs = [layer for layer in _suite.LAYERS if isinstance(layer, ConvLayer)]
    assert len(convs) >= 45 and len({layer.name for layer in _suite.LAYERS}) == len(_suite.LAYERS)
    assert {layer.x_shape[0] for layer in convs} >= {1, 8, 64, 128, 512}
    assert {layer.geometry.ndim for layer in convs} == {1, 2, 3}
    assert {layer.family for layer in convs} == {"depthwise", "grouped", "dense"}
    assert sum(isinstance(layer, Step) for layer in _suite.LAYERS) == 5
    assert all(math.prod(layer.geometry.out_shape) for layer in convs)


def test_select() -> None:
    assert len(_suite.select(kinds=["step"])) == 5
    assert {str(entry) for entry in _suite.select("max2s2_64")} == {"max2s2_64 forward", "max2s2_64 forward_backward"}
    with pytest.raises(ValueError, match=r"no layer's name matches 'dw3_129'\. Did you mean 'dw3_128'\?"):
        _suite.select("dw3_129")
    with pytest.raises(ValueError, match=r"matching 'dw\*' none is of the kind pool with the operation any"):
        _suite.select("dw*", kinds=["pool"])


ENTRIES = {str(entry): entry for entry in (Entry(layer, op) for layer in TINY for op in layer.operations)}
# All operations of one layer, and the forward pass of each kind of layer.
BY_DEFAULT = [
    name
    for name, entry in ENTRIES.items()
    if entry.layer.name == "plain" or (entry.operation == "forward" and entry.layer.name not in ("strided", "sound"))
]


@pytest.mark.parametrize("entry", default_rows(ENTRIES, keep=BY_DEFAULT))
def test_an_entry_is_measured_and_right(entry: Entry) -> None:
    result = run_entry(entry, seconds=1e-3, torch=False)
    assert not is_wrong(result)
    assert set(result["milliseconds"]) == {"ours", "stock"}
    assert all(times["min"] <= times["median"] for times in result["milliseconds"].values())
    assert result["compile_seconds"]["ours"] > 0 and result["memory_bytes"]["stock"] > 0
    assert bool(result["algorithm"]) == (result["kind"] == "conv")


def test_a_wrong_algorithm_is_found() -> None:
    with mock.patch.object(_jax_layers, "conv", lambda x, kernel, **options: _almost(x, kernel, options)):
        assert is_wrong(run_entry(Entry(TINY[0], "forward"), seconds=1e-3, torch=False))


def _almost(x: jax.Array, kernel: jax.Array, options: dict) -> jax.Array:
    from jaxcnn.functional import conv

    return conv(x, kernel, **options) * (1 + 3e-5)


def test_relative_error_refuses_other_shapes_and_sees_nan() -> None:
    assert relative_error([np.array([1.0, np.nan])], [np.ones(2)]) == float("inf")
    with pytest.raises(ValueError, match=r"results of the shapes \[\(2,\)\] cannot be compared with \[\(3,\)\]"):
        relative_error([np.ones(2)], [np.ones(3)])


def shapes(model: nn.Module, step: Step) -> Any:
    """The shapes of parameters and running statistics by their names."""
    x = jax.ShapeDtypeStruct(step.x_shape, jnp.float32)
    return jax.tree.map(jnp.shape, jax.eval_shape(lambda x: _steps.initial_state(model, x)[:2], x))


@pytest.mark.parametrize("name", default_rows(sorted(_flax_models.MODELS), keep=["lenet5", "resnet18_cifar"]))
def test_the_flax_model_has_our_variables(name: str) -> None:
    (step,) = [layer for layer in _suite.STEPS if layer.name == name]
    ours, stock = shapes(_steps.our_model(step), step), shapes(_steps.stock_model(step), step)
    assert ours == stock


@pytest.mark.gate
def test_a_step_of_each_peer_gives_one_loss_and_one_gradient() -> None:
    step = Step(name="lenet5", about="", x_shape=(3, 32, 32, 1))
    result = run_entry(Entry(step, "step"), seconds=1e-3, torch=False)
    assert set(result["milliseconds"]) == {"ours", "stock", "accelerated"}
    assert not is_wrong(result) and result["gradient_error"] < 1e-5


def _is_shape(value: object) -> bool:
    return isinstance(value, tuple)


def test_torch_is_not_imported_without_need() -> None:
    assert _torch_layers.torch_is_installed() == (importlib.util.find_spec("torch") is not None)


@pytest.mark.skipif(not _torch_layers.torch_is_installed(), reason="PyTorch is not installed")
@pytest.mark.parametrize("entry", [Entry(layer, op) for layer in TINY for op in layer.operations], ids=str)
def test_torch_runs_every_layer(entry: Entry) -> None:
    program = _torch_layers.make(entry, _jax_layers.arguments(entry))
    assert program is not None
    program.run()


@pytest.mark.skipif(not _torch_layers.torch_is_installed(), reason="PyTorch is not installed")
@pytest.mark.parametrize("name", sorted(_torch_models.MODELS))
def test_the_torch_model_has_as_many_parameters(name: str) -> None:
    (step,) = [layer for layer in _suite.STEPS if layer.name == name]
    model = _torch_models.MODELS[name](_torch_layers.load(), step.num_classes)
    params, _ = shapes(_steps.our_model(step), step)
    unused = 2 * (64 + 256 + 256) if name == "cifar_speedrun" else 0  # scales that are frozen at 1
    assert (
        sum(p.numel() for p in model.parameters())
        == sum(map(math.prod, jax.tree.leaves(params, is_leaf=_is_shape))) + unused
    )
