"""Models by name."""

import dataclasses
import fnmatch
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from flax import linen as nn

from jaxcnn._hints import did_you_mean, explain_arguments
from jaxcnn.models._layers import check_classes


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What is known of a model before it is built.

    Attributes:
        name: as ``create`` takes it.
        paper: authors, title, year.
        input_shape: ``(height, width, channels)`` of the paper.
        num_classes: of the paper.
        parameters: trainable parameters in that form.
        macs: multiply-adds of convolutions and dense layers for one image.
        accuracy: published top-1 accuracy, as text with its data set, where there is one.
        options: names of the model's own options, which ``create`` takes; its class describes them.
    """

    name: str
    paper: str
    input_shape: tuple[int, int, int]
    num_classes: int
    parameters: int
    macs: int
    accuracy: str = ""
    options: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class TorchNames:
    """How one PyTorch library names the layers of a model family.

    Keys are regular expressions over the whole of a path such as ``stage1_block0/conv1``. The first that fits counts.

    Attributes:
        source: the library.
        modules: path of a layer, or of a bare parameter, to its name there; ``\\1`` stands for the first group. Their
            name for ``kernel``, ``bias`` and so on goes behind it after a dot, or where ``{leaf}`` stands.
        head: path of the layer whose outputs are the classes, or of all such layers, as a regular expression.
        flattened: path of a dense layer that reads a flattened map, to that map's height and width. PyTorch flattens
            channels first.
        shapes: path of a parameter to its shape there, where layout alone does not give it; -1 is what is left.
    """

    source: str
    modules: Mapping[str, str]
    head: str
    flattened: Mapping[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
    shapes: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)


_MODELS: dict[str, tuple[ModelInfo, Callable[..., nn.Module]]] = {}
_TORCH_NAMES: dict[str, tuple[TorchNames, ...]] = {}


def register(info: ModelInfo, build: Callable[..., nn.Module], *, torch_names: tuple[TorchNames, ...] = ()) -> None:
    """Makes a model known by its name, and how PyTorch libraries name its parameters."""
    every = inspect.signature(build).parameters
    options = tuple(sorted(set(every) - {"num_classes", "dtype", "parent", "name"}))
    _MODELS[info.name] = (dataclasses.replace(info, options=options), build)
    _TORCH_NAMES[info.name] = torch_names


def list_models(pattern: str = "*") -> list[str]:
    """Names of the models that match a shell pattern.

    >>> list_models("lenet*")
    ['lenet5', 'lenet5_1998']
    """
    return sorted(fnmatch.filter(_MODELS, pattern))


def info(name: str) -> ModelInfo:
    """Paper, input shape, exact sizes and options of a model.

    Raises:
        ValueError: there is no such model; the nearest name is suggested.

    >>> info("lenet5").parameters
    61706
    >>> info("alexnet").options
    ('dropout_rate', 'hidden')
    """
    return _find(name)[0]


def create(name: str, *, num_classes: int | None = None, dtype: Any = None, **options: Any) -> nn.Module:
    """The Linen module of a model; the paper's number of classes unless said otherwise.

    Args:
        name: one of ``list_models()``.
        num_classes: number of logits. With 0 the model has no head and returns the features that the head reads,
            ``(*batch, channels)``; models of pixels (``unet``, ``fcn*``) and of codes (``lenet5_1998``) refuse it.
        dtype: type of the computation; parameters stay float32.
        **options: the model's own; ``info(name).options`` lists them.

    Raises:
        ValueError: there is no such model (the nearest name is suggested), or a negative number of classes.
        TypeError: the model has no such option, ``name`` is not a string, or ``num_classes`` not an integer.

    >>> create("lenet5", num_classes=26).num_classes
    26
    """
    known, build = _find(name)
    classes = known.num_classes if num_classes is None else check_classes(num_classes)
    return explain_arguments(build, f"create({name!r})")(num_classes=classes, dtype=dtype, **options)


def torch_names(name: str) -> tuple[TorchNames, ...]:
    """How PyTorch libraries name the parameters of a model; empty where none has it.

    Raises:
        ValueError: there is no such model; the nearest name is suggested.
    """
    return _TORCH_NAMES[_find(name)[0].name]


def _find(name: str) -> tuple[ModelInfo, Callable[..., nn.Module]]:
    if not isinstance(name, str):
        raise TypeError(
            f"expected the name of a model, such as 'resnet18', but got an object of {type(name).__name__}."
        )
    if name not in _MODELS:
        raise ValueError(f"there is no model {name!r}. {did_you_mean(name, _MODELS)}")
    return _MODELS[name]
