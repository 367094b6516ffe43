"""Models by name."""

import dataclasses
import fnmatch
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal

from flax import linen as nn
from jax.typing import DTypeLike

from jaxcnn._hints import did_you_mean, explain_arguments
from jaxcnn.models._layers import check_classes


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """The description of a model.

    Attributes:
        name: the argument of ``create``.
        paper: authors, title, year.
        input_shape: of one example in the paper: ``(height, width, channels)``, of videos ``(frames, height, width,
            channels)``, of series ``(length, channels)``.
        num_classes: in the paper.
        parameters: number of trainable parameters of this form.
        macs: multiply-adds of convolutions and dense layers for one example.
        accuracy: published top-1 accuracy with its data set, as text; empty if there is none.
        task: the output of the model: ``"logits"``, of images or of pixels, or ``"detection"``, a dict of boxes.
        options: names of the options of ``create`` for this model; its class describes them.
    """

    name: str
    paper: str
    input_shape: tuple[int, ...]
    num_classes: int
    parameters: int
    macs: int
    accuracy: str = ""
    task: Literal["logits", "detection"] = "logits"
    options: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class TorchNames:
    """The names of the layers of a model family in one PyTorch library.

    Keys are regular expressions that match a whole path such as ``stage1_block0/conv1``; the first match is used.

    Attributes:
        source: the library.
        modules: from the path of a layer or of a single parameter to its name in the library; ``\\1`` is the first
            group. The library's name of ``kernel``, ``bias`` and so on replaces ``{leaf}``, or is appended after a dot.
        head: path of the layer whose outputs are the classes, or of all such layers, as a regular expression.
        flattened: from the path of a dense layer that reads a flattened map to the height and width of that map.
            PyTorch flattens channels first.
        shapes: from the path of a parameter to its shape in the library, if the layout alone does not determine it; one
            entry may be -1.
    """

    source: str
    modules: Mapping[str, str]
    head: str
    flattened: Mapping[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
    shapes: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)


_MODELS: dict[str, tuple[ModelInfo, Callable[..., nn.Module]]] = {}
_TORCH_NAMES: dict[str, tuple[TorchNames, ...]] = {}


def register(info: ModelInfo, build: Callable[..., nn.Module], *, torch_names: tuple[TorchNames, ...] = ()) -> None:
    """Registers a model, and the names of its parameters in PyTorch libraries."""
    arguments = inspect.signature(build).parameters
    options = tuple(sorted(set(arguments) - {"num_classes", "dtype", "parent", "name"}))
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
        ValueError: an unknown name; the message suggests the nearest.
        TypeError: ``name`` is not a string.

    >>> info("lenet5").parameters
    61706
    >>> info("alexnet").options
    ('dropout_rate', 'hidden')
    """
    return _find(name)[0]


def create(name: str, *, num_classes: int | None = None, dtype: DTypeLike | None = None, **options: Any) -> nn.Module:
    """The Linen module of a model.

    Args:
        name: one of ``list_models()``.
        num_classes: number of logits, by default that of the paper. With 0 the model has no head and returns the
            features ``(*batch, channels)``; segmentation models (``unet``, ``fcn*``) and ``lenet5_1998`` do not support
            0.
        dtype: type of the computation; parameters stay float32.
        **options: of the model; ``info(name).options`` lists them.

    Raises:
        ValueError: an unknown name (the message suggests the nearest), or a negative number of classes.
        TypeError: an unknown option, a ``name`` that is not a string, or ``num_classes`` that is not an integer.

    >>> create("lenet5", num_classes=26).num_classes
    26
    """
    known, build = _find(name)
    classes = known.num_classes if num_classes is None else check_classes(num_classes)
    return explain_arguments(build, f"create({name!r})")(num_classes=classes, dtype=dtype, **options)


def torch_names(name: str) -> tuple[TorchNames, ...]:
    """The names of a model's parameters in PyTorch libraries; empty if none has the model.

    Raises:
        ValueError: an unknown name; the message suggests the nearest.
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
