"""Weights of other libraries: their names, their logits, and every kind of file that does not fit."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import models
from jaxcnn.models._registry import torch_names
from jaxcnn.models._weights._safetensors import read_safetensors
from jaxcnn.models._weights._torch_names import counterparts
from tests.models import timm_states
from tests.models.small import quick_jit
from tests.models.torchvision_states import (
    COMPUTED,
    MODELS,
    SIZE,
    STORED,
    digest,
    example,
    generated,
    kept,
    logits_there,
    shapes_there,
)
from tests.tiers import default_rows

Shapes = dict[str, tuple[int, ...]]


def shapes_here(name: str, *, source: int = 0, **options: Any) -> Shapes:
    x = jnp.zeros((1, *models.info(name).input_shape))
    variables = jax.eval_shape(models.create(name, **options).init, jax.random.key(0), x)
    return {tensor.name: tensor.theirs for tensor in counterparts(torch_names(name)[source], variables).values()}


# A chain of layers, branches, inverted bottlenecks, blocks; the others run in the gate.
BY_DEFAULT = {"alexnet", "googlenet_torchvision", "mobilenet_v2", "resnet18"}


def a_few(names: Iterable[str]) -> list[Any]:
    return default_rows(list(names), keep=[name for name in names if name in BY_DEFAULT])


@pytest.mark.parametrize("name", a_few(MODELS))
def test_names_and_shapes_are_torchvisions(name: str) -> None:
    assert digest(shapes_here(name)) == json.loads(STORED.read_text(encoding="utf-8"))[name]["digest"]


@pytest.mark.parametrize("name", default_rows(COMPUTED, keep=["resnet18"]))
def test_logits_are_those_that_torchvision_gave(name: str) -> None:
    stored = json.loads(STORED.read_text(encoding="utf-8"))[name]
    model, variables = models.load_torch(name, generated(shapes_here(name)))
    logits = quick_jit(model.apply)(variables, example(name, SIZE))[0]
    np.testing.assert_allclose(kept(logits), stored["logits"], rtol=0, atol=5e-5 * stored["scale"])


@pytest.mark.gate
@pytest.mark.parametrize("name", MODELS)
def test_logits_are_torchvisions_where_it_is_installed(name: str) -> None:
    pytest.importorskip("torchvision")
    theirs, shapes = shapes_there(name)
    state, x = generated(shapes), example(name, 224)
    model, variables = models.load_torch(name, state)
    wanted = logits_there(theirs, state, x)
    np.testing.assert_allclose(jax.jit(model.apply)(variables, x), wanted, rtol=0, atol=5e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("name", a_few(timm_states.MODELS))
def test_names_and_shapes_are_timms(name: str) -> None:
    """timm names the layers of residual networks as torchvision does, so there is one table for both."""
    stored = json.loads(timm_states.STORED.read_text(encoding="utf-8"))
    assert digest(shapes_here(name, source=len(torch_names(name)) - 1)) == stored[name]


@pytest.mark.parametrize("source", default_rows(["torchvision", "timm"], keep=["torchvision"]))
@pytest.mark.gate
def test_what_was_saved_is_loaded(tmp_path: Path, source: str) -> None:
    variables = models.load_torch("mobilenet_v2", generated(shapes_here("mobilenet_v2")))[1]
    models.save_torch("mobilenet_v2", variables, tmp_path / "m.safetensors", source=source)
    saved = read_safetensors(tmp_path / "m.safetensors")
    counters = [tensor for name, tensor in saved.items() if name.endswith("num_batches_tracked")]
    assert len(counters) == 52 and all(tensor == 0 and tensor.dtype == np.int64 for tensor in counters)
    again = models.load_torch("mobilenet_v2", tmp_path / "m.safetensors")[1]
    jax.tree.map(np.testing.assert_array_equal, variables, again)


def tiny() -> dict[str, np.ndarray]:
    """A ResNet-18 for three classes, large enough for every kind of error."""
    return generated(shapes_here("resnet18_cifar", num_classes=3))


def test_the_file_says_how_many_classes() -> None:
    model, variables = models.load_torch("resnet18_cifar", tiny())
    assert model.num_classes == 3 and variables["params"]["head"]["kernel"].shape == (512, 3)


def test_another_number_of_classes_draws_a_new_last_layer() -> None:
    state = tiny()
    model, variables = models.load_torch("resnet18_cifar", state, num_classes=5, dtype=jnp.bfloat16)
    assert model.num_classes == 5 and model.dtype == jnp.bfloat16
    head = variables["params"]["head"]
    assert head["kernel"].shape == (512, 5) and 0 < np.abs(head["kernel"]).max() <= 512**-0.5
    np.testing.assert_array_equal(
        variables["params"]["stem_conv"]["kernel"], state["conv1.weight"].transpose(2, 3, 1, 0)
    )
    other = models.load_torch("resnet18_cifar", state, num_classes=5, key=jax.random.key(1))[1]
    assert (other["params"]["head"]["kernel"] != head["kernel"]).any()


def test_the_same_number_of_classes_keeps_the_last_layer() -> None:
    state = tiny()
    head = models.load_torch("resnet18_cifar", state, num_classes=3)[1]["params"]["head"]
    np.testing.assert_array_equal(head["kernel"], state["fc.weight"].T)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conv1.weight": None}, r"torchvision's resnet18_cifar, does not fit. Missing: conv1.weight\.$"),
        ({"extra.weight": np.zeros(2, np.float32)}, r"Unexpected: extra.weight\.$"),
        ({"bn1.bias": np.zeros(2, np.float32)}, r"Of another shape: bn1.bias \(2,\) for \(64,\)\.$"),
        ({"fc.bias": np.float32(0)}, r"Of another shape: .*fc.bias \(\) for \(10,\)"),
        ({"bn1.bias": np.zeros(64, np.int8)}, r"Not floating-point: bn1.bias \(int8\)\.$"),
    ],
)
def test_tensors_that_do_not_fit_are_named(change: dict[str, Any], message: str) -> None:
    state = {name: tensor for name, tensor in {**tiny(), **change}.items() if tensor is not None}
    with pytest.raises(ValueError, match=message):
        models.load_torch("resnet18_cifar", state)


def test_of_many_names_the_first_are_listed() -> None:
    with pytest.raises(ValueError, match=r"Missing: .*layer.* and 82 more. Unexpected: nothing\.$"):
        models.load_torch("resnet18", {"nothing": np.zeros(1, np.float32)})


def test_what_is_no_model_or_no_file_of_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"load_torch: neither torchvision nor timm has 'lenet5'. They have 'alexnet'"):
        models.load_torch("lenet5", {})
    with pytest.raises(ValueError, match=r"there is no model 'resnet19'. Did you mean 'resnet1"):
        models.load_torch("resnet19", {})
    with pytest.raises(
        ValueError, match=r"ends in one of .safetensors, .pth, .pt, .bin, .ckpt, .tar, but got 'weights.h5'"
    ):
        models.load_torch("resnet18", "weights.h5")
    with pytest.raises(FileNotFoundError, match=r"load_torch: there is no file absent.pth"):
        models.load_torch("resnet18", "absent.pth")
    with pytest.raises(
        ValueError, match=r"save_torch: expected a file that ends in .safetensors, but got 'weights.pth'"
    ):
        models.save_torch("resnet18", {}, "weights.pth")
    with pytest.raises(ValueError, match=r"save_torch: source='tim' is not known. Did you mean 'timm'"):
        models.save_torch("mobilenet_v2", {}, "weights.safetensors", source="tim")
    with pytest.raises(ValueError, match="torchvision has no counterpart of params/mystery/kernel"):
        models.save_torch("resnet18", {"params": {"mystery": {"kernel": np.zeros(1)}}}, "weights.safetensors")


def test_a_file_without_statistics_is_not_written(tmp_path: Path) -> None:
    file, params = tmp_path / "m.safetensors", {"params": {"head": {"bias": np.zeros(10, np.float32)}}}
    for variables, message in (
        ({}, "resnet18 has .*, but the variables are without .*params"),
        (params, "has batch_stats and params, but the variables are without batch_stats. Pass all that model.init"),
    ):
        with pytest.raises(ValueError, match=message):
            models.save_torch("resnet18", variables, file)
    assert not file.exists()
