"""Weights from PyTorch libraries and back, with NumPy alone."""

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxcnn._errors import check_choice
from jaxcnn.models._registry import create, info, list_models, torch_names
from jaxcnn.models._weights._match import as_variables, match_tensors
from jaxcnn.models._weights._safetensors import write_safetensors
from jaxcnn.models._weights._state_dict import read_state_dict
from jaxcnn.models._weights._torch_names import TorchNames, counterparts, paths

COUNTER = ".num_batches_tracked"  # the number of batches that a norm of PyTorch has counted; not used here
log = logging.getLogger("jaxcnn")


def load_torch(
    name: str,
    path: str | Path | Mapping[str, Any],
    *,
    num_classes: int | None = None,
    key: jax.Array | None = None,
    **options: Any,
) -> tuple[nn.Module, dict[str, Any]]:
    """A model, and its variables from a state dict of torchvision or timm.

    Names, layouts and the order of flattened maps are converted; parameters become float32. The names of the tensors
    determine the library. Additions of training scripts are removed with a warning: other entries
    (``{"model_state_dict": ..., "epoch": ...}``) and prefixes (``module.``, ``model.``, ``_orig_mod.``). Missing or
    unexpected tensors and other shapes are errors, except for ``num_batches_tracked`` of norms, which is ignored.

    Args:
        name: of the model, as in ``list_models``.
        path: a ``.safetensors`` file; or ``.pth``, ``.pt``, ``.bin``, ``.ckpt`` or ``.tar``, which require PyTorch; or
            a mapping from names to arrays of NumPy, JAX or PyTorch.
        num_classes: number of logits, by default that of the file. For another number the last layer is initialised
            instead of loaded.
        key: for the initialisation of the last layer; key 0 by default.
        **options: of the model, as in ``create``, such as ``dtype``.

    Returns:
        The model and ``{"params": ..., "batch_stats": ...}``, for ``model.apply``.

    Raises:
        ValueError: an unknown model, a model that neither library has, missing or unexpected tensors (the message lists
            them), a damaged file, or a file that contains a whole pickled model.
        ShapeError: tensors of another shape; the message lists them.
        FileNotFoundError: there is no such file.
        TypeError: a model in place of its name or of its tensors, or values that are not tensors.
        ImportError: the file requires PyTorch, which is not installed.

    >>> import tempfile
    >>> model = create("resnet18", num_classes=10)
    >>> shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    >>> variables = jax.tree.map(lambda leaf: np.ones(leaf.shape, leaf.dtype), shapes)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_torch("resnet18", variables, f"{folder}/resnet18.safetensors")
    ...     model, loaded = load_torch("resnet18", f"{folder}/resnet18.safetensors")
    >>> model.num_classes, jax.tree.all(jax.tree.map(np.array_equal, variables, loaded))
    (10, True)
    """
    tables = _tables(name)
    where = "the state dict" if isinstance(path, Mapping) else str(path)
    x = jnp.zeros((1, *info(name).input_shape))

    def specify(classes: int, names: TorchNames) -> tuple[nn.Module, Any, dict[str, Any]]:
        model = create(name, num_classes=classes, **options)
        shapes = jax.eval_shape(model.init, jax.random.key(0), x)
        return model, shapes, counterparts(names, shapes)

    usual = {names.source: specify(info(name).num_classes, names)[2] for names in tables}
    known = {tensor.name for specs in usual.values() for tensor in specs.values()}
    state = read_state_dict(path, known)
    if state.removed:
        log.warning("load_torch: %s: %s", where, state.removed)
    tensors = {name: tensor for name, tensor in state.tensors.items() if not name.endswith(COUNTER)}
    names = max(tables, key=lambda names: sum(tensor.name in tensors for tensor in usual[names.source].values()))
    heads = {
        path: spec.name
        for path, spec in usual[names.source].items()
        if re.fullmatch(f"params/(?:{names.head})/(?:kernel|bias)", path)
    }
    biases = [tensors[there] for path, there in heads.items() if path.endswith("/bias") and there in tensors]
    in_file = len(biases[0]) if biases and np.ndim(biases[0]) else info(name).num_classes
    model, shapes, specs = specify(in_file if num_classes is None else num_classes, names)
    fresh = {}
    if num_classes is not None and num_classes != in_file:
        tensors = {name: tensor for name, tensor in tensors.items() if name not in heads.values()}
        specs = {path: spec for path, spec in specs.items() if path not in heads}
        fresh = _initialized(model, x, heads, jax.random.key(0) if key is None else key)
    found = match_tensors(specs, tensors, where=f"{where}, read as {names.source}'s {name}")
    return model, as_variables(shapes, {**found, **fresh})


def save_torch(
    name: str, variables: Mapping[str, Any], path: str | Path, *, source: Literal["torchvision", "timm"] = "torchvision"
) -> None:
    """Writes the variables of a model as a state dict for torchvision or timm.

    ``num_batches_tracked`` of norms is written as 0.

    Args:
        name: of the model, as in ``list_models``.
        variables: with ``params``, and ``batch_stats`` if the model has them.
        path: of the ``.safetensors`` file to write.
        source: the library whose names are used, ``"torchvision"`` or ``"timm"``.

    Raises:
        ValueError: an unknown model or source, a model that neither library has, a file with another suffix, or
            parameters that the library does not have, or variables without a collection that the model has.
        TypeError: ``name`` is not a string.

    >>> save_torch("lenet5", {}, "lenet5.safetensors")
    Traceback (most recent call last):
    ValueError: save_torch: neither torchvision nor timm has 'lenet5'. They have ...
    """
    tables = {names.source: names for names in _tables(name)}
    check_choice(source, tables, name="source")
    if Path(path).suffix != ".safetensors":
        raise ValueError(f"expected a file that ends in .safetensors, but got {str(path)!r}.")
    leaves = dict(paths({part: variables[part] for part in ("params", "batch_stats") if part in variables}))
    tensors: dict[str, np.ndarray] = {}
    for place, tensor in counterparts(tables[source], variables).items():
        tensors[tensor.name] = tensor.to_theirs(np.asarray(leaves[place]))
        if tensor.name.endswith(".running_var"):
            tensors[tensor.name.removesuffix(".running_var") + COUNTER] = np.zeros((), np.int64)
    shapes = jax.eval_shape(create(name).init, jax.random.key(0), jnp.zeros((1, *info(name).input_shape)))
    if absent := [part for part in shapes if not variables.get(part)]:
        raise ValueError(
            f"{name} has {' and '.join(shapes)}, but the variables are without {' and '.join(absent)}. Pass all that "
            f"model.init returns, not the parameters alone."
        )
    write_safetensors(tensors, path)


def _tables(name: str) -> tuple[TorchNames, ...]:
    if not isinstance(name, str):
        raise TypeError(
            f"expected the name of a model, such as 'resnet18', but got an object of {type(name).__name__}. "
            f"load_torch makes the model: model, variables = load_torch('resnet18', path)."
        )
    tables = torch_names(name)
    if not tables:
        known = ", ".join(repr(other) for other in list_models() if torch_names(other))
        raise ValueError(f"neither torchvision nor timm has {name!r}. They have {known}.")
    return tables


def _initialized(model: nn.Module, x: jax.Array, heads: Mapping[str, str], key: jax.Array) -> dict[str, jax.Array]:
    """The initial parameters of the last layer; the compiled program computes no other parameters."""

    def draw(key: jax.Array) -> dict[str, Any]:
        return {path: leaf for path, leaf in paths(model.init(key, x)) if path in heads}

    return jax.jit(draw)(key)
