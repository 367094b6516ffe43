"""Batch normalisation with fixed statistics folded into the layers of a Linen model."""

import dataclasses
import functools
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen, traverse_util
from jax.ad_checkpoint import checkpoint_name
from jax.typing import ArrayLike

from jaxcnn import nn
from jaxcnn.functional import BatchStats, fold_batch_norm

LINEAR = (nn.Conv, nn.ConvTranspose, nn.DepthwiseConv, linen.Conv, linen.ConvTranspose, linen.Dense)
NORMS = (nn.BatchNorm, linen.BatchNorm)
MARK = "jaxcnn.export: result of layer "
KERNEL = "jaxcnn.export: kernel of layer "

Path = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class FoldedModel:
    """A Linen model in which some layers contain the batch norm after them; ``fold_batch_norms`` makes it.

    Attributes:
        model: the original.
        pairs: the paths of each such layer and of its norm.

    >>> import jax
    >>> model = linen.Sequential([nn.Conv(4, (3, 3)), nn.BatchNorm(use_running_average=True)])
    >>> folded = FoldedModel(model, pairs=((("layers_0",), ("layers_1",)),))
    >>> variables = {"params": {"layers_0": {"kernel": jnp.ones((3, 3, 2, 4)), "bias": jnp.ones(4)}}}
    >>> jax.eval_shape(folded.apply, variables, jnp.ones((1, 8, 8, 2))).shape
    (1, 8, 8, 4)
    """

    model: linen.Module
    pairs: tuple[tuple[Path, Path], ...]

    def apply(self, variables: Mapping[str, Any], x: ArrayLike, **options: Any) -> Any:
        """The result of ``model.apply`` in evaluation, with the same options, such as ``method="features"``.

        Raises:
            ValueError: ``train=True``.
        """
        method = options.get("method") or "__call__"
        function = getattr(type(self.model), method) if isinstance(method, str) else method
        options = _evaluation(function, options)
        with linen.intercept_methods(functools.partial(_without_norms, self.pairs)):
            return self.model.apply(variables, x, **options)


def _without_norms(pairs: Sequence[tuple[Path, Path]], call: Any, args: Any, kwargs: Any, context: Any) -> Any:
    """An interceptor of Flax methods: folded norms return their input."""
    module = context.module
    if context.method_name == "__call__" and any(module.path == norm for _, norm in pairs):
        x = args[0]
        return x.astype(jnp.promote_types(x.dtype, module.param_dtype) if module.dtype is None else module.dtype)
    if context.method_name == "__call__" and any(module.path == layer for layer, _ in pairs):
        object.__setattr__(module, "use_bias", True)  # the layer may have been built without one
    return call(*args, **kwargs)


def _evaluation(method: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a call for evaluation.

    Raises:
        ValueError: ``train=True``.
    """
    if options.get("train"):
        raise ValueError("folded batch norms have fixed statistics, so train must be False. Train the original model.")
    known = "train" in inspect.signature(method).parameters
    return {**options, "train": False} if known else dict(options)


def fold_batch_norms(
    model: linen.Module, variables: Mapping[str, Any], input_shape: Sequence[int]
) -> tuple[FoldedModel, dict[str, Any]]:
    """A model for evaluation without the batch norms that follow a convolution or a dense layer, and its variables.

    The kernel becomes ``kernel * f`` and the bias ``(bias - mean) * f + offset`` with ``f = scale / sqrt(var +
    epsilon)``, for each norm that is the only reader of the result of a layer. Other norms stay: norms before a
    convolution or after a pool, and norms of a layer that is called twice or whose kernel is computed, as by
    ``flax.linen.WeightNorm``.

    Args:
        model: any Linen module that is called on one array.
        variables: its parameters and statistics.
        input_shape: of that array; the folded model supports other sizes like the original.

    Returns:
        ``(folded, folded_variables)``; ``folded.apply(folded_variables, x)`` equals ``model.apply(variables, x)`` in
        evaluation, up to rounding.

    Raises:
        TypeError: ``model`` is not a Linen module.

    Source: Jacob et al., Quantization and training of neural networks for efficient integer-arithmetic-only inference
    (2018), equation 14.

    >>> import jax
    >>> model = linen.Sequential([nn.Conv(4, (3, 3), use_bias=False), nn.BatchNorm(use_running_average=True)])
    >>> variables = model.init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
    >>> folded, smaller = fold_batch_norms(model, variables, (1, 8, 8, 3))
    >>> sorted(smaller), sorted(smaller["params"]["layers_0"])
    (['params'], ['bias', 'kernel'])
    """
    if not isinstance(model, linen.Module):
        raise TypeError(f"expected a Flax Linen module, but got an object of {type(model).__name__}.")
    pairs = _find_pairs(model, variables, tuple(input_shape))
    flat = traverse_util.flatten_dict(dict(variables))
    for pair in pairs:
        _fold(flat, pair)
    folded = FoldedModel(model=model, pairs=tuple((pair.layer, pair.norm) for pair in pairs))
    return folded, traverse_util.unflatten_dict(flat)


@dataclasses.dataclass(frozen=True)
class _Pair:
    """A layer and the norm that reads its result.

    Attributes:
        layer: its path.
        norm: the path of the norm.
        epsilon: of the norm.
        transposed: whether the kernel is that of a transposed convolution.
        number: the number of the layer in the names of its marks.
        kernel_shape: the shape of the kernel that the layer reads.
    """

    layer: Path
    norm: Path
    epsilon: float
    transposed: bool
    number: int
    kernel_shape: tuple[int, ...]


def _find_pairs(model: linen.Module, variables: Any, shape: tuple[int, ...]) -> list[_Pair]:
    # For each marked result: the result, so that its id stays unique, the layer, its number and its kernel.
    made: dict[int, tuple[Any, Any, int, Any]] = {}
    calls: dict[Path, int] = {}
    found: list[_Pair] = []

    def intercept(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        module = context.module
        linear, norm = _computes_as(module, LINEAR), _computes_as(module, NORMS)
        if context.method_name != "__call__" or not (linear or norm):
            return call(*args, **kwargs)
        calls[module.path] = calls.get(module.path, 0) + 1
        if norm:
            source = made.get(id(args[0]))
            if source is not None and module.axis in (-1, args[0].ndim - 1) and kwargs.get("mask") is None:
                _, layer, number, kernel = source
                transposed = bool(getattr(layer, "transpose_kernel", False))
                found.append(_Pair(layer.path, module.path, module.epsilon, transposed, number, tuple(kernel.shape)))
            return call(*args, **kwargs)
        number, kernel = len(made), linen.meta.unbox(module.get_variable("params", "kernel"))
        checkpoint_name(kernel, f"{KERNEL}{number}")
        y = checkpoint_name(call(*args, **kwargs), f"{MARK}{number}")
        made[id(y)] = (y, module, number, kernel)
        return y

    def call(variables: Any, x: jax.Array) -> Any:
        with linen.intercept_methods(intercept):
            return model.apply(variables, x, **_evaluation(type(model).__call__, {}))

    program = jax.make_jaxpr(call)(variables, jax.ShapeDtypeStruct(shape, jnp.float32))
    readers = _readers_of_marks(program.jaxpr)
    leaves = jax.tree_util.tree_leaves_with_path(variables)
    given = {id(variable): leaf for variable, leaf in zip(program.jaxpr.invars, leaves, strict=False)}
    kernels = _marked_kernels(program.jaxpr, given)

    def reads_its_parameter(pair: _Pair) -> bool:
        """Whether the kernel of the layer is its parameter, and not a value that is computed from it."""
        leaf = kernels.get(f"{KERNEL}{pair.number}")
        if leaf is None or [getattr(key, "key", None) for key in leaf[0]] != ["params", *pair.layer, "kernel"]:
            return False
        return jnp.shape(leaf[1]) == pair.kernel_shape  # if several networks are vectorized, the layer reads a part

    return [
        pair
        for pair in found
        if readers.get(f"{MARK}{pair.number}") == 1
        and calls[pair.layer] == 1
        and calls[pair.norm] == 1
        and reads_its_parameter(pair)
    ]


def _computes_as(module: Any, classes: Sequence[Any]) -> bool:
    """Whether a module is an instance of one of the classes, or of a subclass that does not replace ``__call__``."""
    return any(isinstance(module, each) and type(module).__call__ is each.__call__ for each in classes)


def _inner_programs(equation: Any) -> list[Any]:
    values = jax.tree.leaves(list(equation.params.values()), is_leaf=lambda each: hasattr(each, "eqns"))
    opened = [getattr(each, "jaxpr", each) for each in values]
    return [each for each in opened if hasattr(each, "eqns")]


def _marked_kernels(jaxpr: Any, given: Mapping[int, Any]) -> dict[str, Any]:
    """The given value of each marked kernel, by the id of its variable; None if the kernel is not a given value."""
    found: dict[str, Any] = {}
    for equation in jaxpr.eqns:
        if equation.primitive.name == "name" and str(equation.params["name"]).startswith(KERNEL):
            found[equation.params["name"]] = given.get(id(equation.invars[0]))
        for inner in _inner_programs(equation):
            operands = equation.invars[max(len(equation.invars) - len(inner.invars), 0) :]  # a branch has no index
            pairs = zip(inner.invars, operands, strict=False)
            found |= _marked_kernels(inner, {id(one): given[id(other)] for one, other in pairs if id(other) in given})
    return found


def _readers_of_marks(jaxpr: Any) -> dict[str, int]:
    """How often the program reads each marked result."""
    reads: dict[Any, int] = {}
    for variable in [*(each for equation in jaxpr.eqns for each in equation.invars), *jaxpr.outvars]:
        reads[id(variable)] = reads.get(id(variable), 0) + 1
    found = {}
    for equation in jaxpr.eqns:
        if equation.primitive.name == "name" and str(equation.params["name"]).startswith(MARK):
            found[equation.params["name"]] = reads.get(id(equation.outvars[0]), 0)
        for inner in _inner_programs(equation):
            found |= _readers_of_marks(inner)
    return found


def _fold(flat: dict[tuple[str, ...], Any], pair: _Pair) -> None:
    """Replaces the variables of a pair."""
    scale, offset = (flat.pop(("params", *pair.norm, name), None) for name in ("scale", "bias"))
    mean, var = (flat.pop(("batch_stats", *pair.norm, name)) for name in ("mean", "var"))
    flat.pop(("batch_stats", *pair.norm, "count"), None)
    kernel, bias = ("params", *pair.layer, "kernel"), ("params", *pair.layer, "bias")
    flat[kernel], flat[bias] = fold_batch_norm(
        flat[kernel],
        flat.get(bias),
        BatchStats(mean, var, jnp.zeros(())),
        scale=scale,
        offset=offset,
        epsilon=pair.epsilon,
        transposed=pair.transposed,
    )
