"""Names and arguments of other libraries get a hint, and every hint is correct."""

import importlib
import inspect
import pickle
import re
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import pytest
from flax import linen

import jaxcnn
from jaxcnn import functional as F
from jaxcnn import models, nn
from jaxcnn._hints import explain_arguments
from jaxcnn._other_names import ARGUMENT_NOTES, ARGUMENTS, NAMES

X, KERNEL = jnp.ones((1, 8, 8, 3)), jnp.ones((3, 3, 3, 6))
DOORS = [
    f"jaxcnn.{name}"
    for name in [
        "augment",
        "bench",
        "data",
        "functional",
        "functional.filters",
        "models",
        "nn",
        "shapes",
        "train",
        "vis",
    ]
]


def members(door: str) -> list[Any]:
    module = importlib.import_module(door)
    return [getattr(module, name) for name in module.__all__]


def test_every_hint_is_a_name_that_exists() -> None:
    for package, hints in NAMES.items():
        for name, hint in hints.items():
            assert name == name.lower(), "names are compared in lower case"
            for part in re.findall(r"^[\w.]+|(?<= or )[\w.]+", hint):
                owner, _, attribute = (part if "." in part else f"{package}.{part}").rpartition(".")
                parent, _, cls = owner.rpartition(".")
                place = getattr(importlib.import_module(parent), cls) if parent else importlib.import_module(owner)
                assert hasattr(place, attribute), f"{package}: {name} -> {hint}"


def test_every_suggested_argument_is_taken_somewhere() -> None:
    taken = {
        name
        for door in DOORS
        for member in members(door)
        if callable(member) and not (isinstance(member, type) and issubclass(member, Exception))
        for name in inspect.signature(member).parameters
    }
    assert {name for names in ARGUMENTS.values() for name in names} <= taken | {"learning_rate"}
    for note in ARGUMENT_NOTES.values():
        for name in re.findall(r"max_pool_with_indices|jaxcnn\.models\.load_torch", note):
            assert hasattr(F, name) or hasattr(models, name.rpartition(".")[2])


@pytest.mark.parametrize(
    ("module", "name", "hint"),
    [
        (F, "conv2d", "Use conv, for any number of spatial axes."),
        (F, "conv_transpose1d", "Use conv_transpose, for any number of spatial axes."),
        (F, "relu", "Use jax.nn.relu."),
        (F, "MaxPool3D", "Use max_pool, for any number of spatial axes."),
        (F, "maxpool", "Use max_pool."),
        (F, "interpolate", "Use jax.image.resize."),
        (F, "conv_transpos", "Did you mean 'conv_transpose'?"),
        (F.filters, "GaussianBlur", "Use gaussian, with apply_filter."),
        (nn, "Conv2D", "Use Conv, for any number of spatial axes."),
        (nn, "Conv2DTranspose", "Use ConvTranspose, for any number of spatial axes."),
        (nn, "BatchNorm1d", "Use BatchNorm, for any number of spatial axes."),
        (nn, "relu", "Use jax.nn.relu."),
        (nn, "Linear", "Use flax.linen.Dense."),
        (models, "resnet18", 'Use create("resnet18").'),
        (jaxcnn, "Conv2d", "Use jaxcnn.functional.conv or jaxcnn.nn.Conv."),
        (jaxcnn.augment, "RandomHorizontalFlip", "Use random_flip."),
        (jaxcnn.augment, "Compose", "Use chain."),
        (jaxcnn.data, "ImageFolder", 'Use load, as load("folder:PATH").'),
        (jaxcnn.train, "Trainer", "Use fit."),
    ],
)
def test_a_name_of_another_library(module: types.ModuleType, name: str, hint: str) -> None:
    message = f"^module '{module.__name__}' has no attribute '{name}'. {re.escape(hint)}$"
    assert not hasattr(module, name)
    with pytest.raises(AttributeError, match=message):
        getattr(module, name)
    if hint.startswith("Use") and module is not jaxcnn.functional.filters:
        with pytest.raises(ImportError, match=message):
            exec(f"from {module.__name__} import {name}")


@pytest.mark.gate
def test_a_name_at_the_top_of_a_script() -> None:
    code = "from jaxcnn import functional as F\nF.conv2d"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (
        "AttributeError: module 'jaxcnn.functional' has no attribute 'conv2d'. Use conv, for any number" in done.stderr
    )


def test_a_name_that_nothing_is_known_about() -> None:
    with pytest.raises(AttributeError, match=r"^module 'jaxcnn.nn' has no attribute 'Xyzzy'\.$"):
        _ = nn.Xyzzy
    with pytest.raises(ImportError, match="cannot import name 'Xyzzy'"):
        exec("from jaxcnn.nn import Xyzzy")
    exec("from jaxcnn.functional import filters, accelerate")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: F.conv(X, KERNEL, stride=2), "conv: there is no argument 'stride'. Did you mean 'strides'?"),
        (lambda: F.conv(X, KERNEL, groups=3), "'groups'. Did you mean 'feature_group_count'?"),
        (lambda: F.conv(X, KERNEL, dilation=2), "'dilation'. Did you mean 'kernel_dilation'?"),
        (lambda: F.max_pool(X, (2, 2), strides=2, dilation=2), "'dilation'. Did you mean 'window_dilation'?"),
        (lambda: F.max_pool(X, kernel_size=2), "max_pool: there is no argument 'kernel_size'. Did you mean 'window_s"),
        (lambda: F.max_pool(X, (2, 2)), "max_pool: strides is missing. The call is max_pool(x, window_shape, strides"),
        (lambda: F.max_pool(X, (2, 2), 2), "3 positional arguments are given, but only x, window_shape can be. By key"),
        (lambda: F.conv(X, KERNEL, x=X), "conv: x is given by position and by keyword. The positions are x, kernel."),
        (lambda: F.conv(X, KERNEL, data_format="NHWC"), "'data_format'. Arrays are channels-last."),
        (lambda: F.max_pool(X, (2, 2), strides=2, padding_mode="edge"), "Pad the array first: jnp.pad. The adjoint of"),
        (lambda: F.conv(X, KERNEL, stides=2), "conv: there is no argument 'stides'. Did you mean 'strides'?"),
        (lambda: F.filters.sobel(axes=0), "sobel: there is no argument 'axes'. Did you mean 'axis'?"),
        (lambda: nn.Conv(6, (3, 3), stride=2), "Conv: there is no argument 'stride'. Did you mean 'strides'?"),
        (lambda: nn.Conv(6, (3, 3), groups=2, bias=False), "There is no argument 'bias'. Did you mean 'use_bias'?"),
        (lambda: nn.Conv(3, 64, kernel_size=3), "Conv: kernel_size is given by position and by keyword. The positions"),
        (lambda: nn.Conv(in_channels=3, out_channels=6), "The number of input channels is read from the input. There"),
        (lambda: nn.BatchNorm(eps=1e-3), "BatchNorm: there is no argument 'eps'. Did you mean 'epsilon'?"),
        (
            lambda: models.create("resnet18", pretrained=True),
            "create('resnet18'): there is no argument 'pretrained'. Weights come from jaxcnn.models.load_torch(",
        ),
        (lambda: models.create("lenet5", num_clases=3), "'num_clases'. Did you mean 'num_classes'?"),
        (lambda: models.ResNet(pretrained=True), "ResNet: there is no argument 'pretrained'. Weights come from"),
        (
            lambda: jaxcnn.augment.random_crop(size=8, padding=1),
            "random_crop: key and images are missing. The call is random_crop(key, images, size=...). "
            "To set options now and call later: functools.partial(random_crop, size=8, padding=1).",
        ),
    ],
)
def test_arguments_that_do_not_fit(call: Any, message: str) -> None:
    with pytest.raises(TypeError, match=re.escape(message)):
        call()


def test_an_error_inside_a_function_stays_what_it_is() -> None:
    def function(x: int) -> int:
        return x + None  # type: ignore[operator]

    with pytest.raises(TypeError, match=r"^unsupported operand"):
        explain_arguments(function, "function")(1)


@pytest.mark.parametrize("door", DOORS)
def test_every_public_function_explains_its_arguments(door: str) -> None:
    """Its module, its signature and pickle refer to the same object."""
    for member in members(door):
        if isinstance(member, types.FunctionType):
            assert hasattr(member, "_arguments_explained"), member
            assert pickle.loads(pickle.dumps(member)) is member
        elif isinstance(member, type) and issubclass(member, linen.Module):
            assert hasattr(member.__init__, "_arguments_explained"), member


def test_a_model_in_place_of_its_name(tmp_path: Path) -> None:
    lenet = models.create("lenet5")
    with pytest.raises(
        TypeError, match=r"load_torch: expected the name of a model, such as 'resnet18', but got an obj"
    ):
        models.load_torch(lenet, tmp_path / "weights.pth")  # type: ignore[arg-type]
    with pytest.raises(
        TypeError, match="expected the name of a model, such as 'resnet18', but got an object of LeNet5"
    ):
        models.create(lenet)  # type: ignore[arg-type]
    torch_model = types.SimpleNamespace(state_dict=dict)
    with pytest.raises(TypeError, match=r"but got a model of PyTorch; pass model.state_dict\(\)"):
        models.load_torch("resnet18", torch_model)  # type: ignore[arg-type]


def test_a_summary_by_name() -> None:
    by_name = jaxcnn.summary("lenet5", (1, 32, 32, 1))
    assert by_name == jaxcnn.summary(models.create("lenet5"), (1, 32, 32, 1))
    with pytest.raises(ValueError, match=r"there is no model 'lenet6'\. Did you mean 'lenet5'\?"):
        jaxcnn.summary("lenet6", (1, 32, 32, 1))
    with pytest.raises(
        TypeError, match=r"summary: expected a Flax Linen module .* object of tuple. The call is summary"
    ):
        jaxcnn.summary((1, 32, 32, 1), models.create("lenet5"))  # type: ignore[arg-type]
