"""A trained network as a portable program, which the writers of other formats read."""

import dataclasses
import functools
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export
from jax.typing import ArrayLike, DTypeLike

from jaxcnn._axes import as_int
from jaxcnn._errors import ShapeError
from jaxcnn._symbolic import is_symbolic
from jaxcnn.export._fold import fold_affine
from jaxcnn.export._for_cpu import for_cpu
from jaxcnn.export._operations import Operation, Value, run, without_unread
from jaxcnn.export._recognise import recognise
from jaxcnn.export._trace import trace


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class PortableProgram:
    """A function of one array with one operation for each convolution, pool and matrix product; call it as a function.

    ``portable`` makes it; ``to_stablehlo``, ``to_onnx``, ``to_tflite`` and ``to_coreml`` write it.

    Attributes:
        operations: in the order in which they are computed.
        input: the shape and the dtype of the argument; a batch of any size is a symbolic dimension.
        results: the values that are returned.
        tree: the structure of what is returned.
        input_range: the least and the greatest entry of its images, if they are known; calibration images are compared
            with it.
    """

    operations: tuple[Operation, ...]
    input: Value
    results: tuple[Value, ...]
    tree: Any
    input_range: tuple[float, float] | None = dataclasses.field(default=None, kw_only=True)

    def __call__(self, x: ArrayLike) -> Any:
        """The result of the function for an array of the shape and the dtype of ``input``."""
        # jit converts NumPy arrays much faster than jnp.asarray, whose conversion takes as long as a small network
        if isinstance(x, (np.ndarray, jax.Array)) and x.dtype == self.input.dtype:
            return self._compiled(x)
        return self._compiled(jnp.asarray(x, self.input.dtype))

    @property
    def counts(self) -> dict[str, int]:
        """The number of operations of each name, such as ``conv_general_dilated`` and ``reduce_window_max``."""
        return dict(Counter(operation.name for operation in self.operations))

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of convolutions and matrix products for one example."""
        return sum(map(multiply_adds_of, self.operations))

    @property
    def parameters(self) -> dict[str, jax.Array]:
        """The constants of floating numbers with at least one axis, by layer, such as ``layer1_0/conv1/1``."""
        return {name: jnp.asarray(value.array) for name, value in self._parameter_values().items()}

    @property
    def result_names(self) -> list[str]:
        """The names of the results in files: their keys or fields; ``y``, or ``y_0`` and so on, without one.

        >>> portable(lambda x: {"a": x, "b": (x, 2 * x)}, (1, 2)).result_names
        ['a', 'b_0', 'b_1']
        >>> portable(lambda x: (x, 2 * x), (1, 2)).result_names
        ['y_0', 'y_1']
        """
        tree, names = jax.tree.unflatten(self.tree, range(len(self.results))), []
        for path, _ in jax.tree_util.tree_leaves_with_path(tree):
            parts = [str(getattr(key, "key", getattr(key, "idx", getattr(key, "name", key)))) for key in path]
            names.append("_".join(parts if parts and not parts[0].isdecimal() else ["y", *parts]))
        return names

    def apply(self, parameters: Mapping[str, ArrayLike], x: ArrayLike) -> Any:
        """The result of the program with other parameters. It is differentiable, for instance for fine-tuning.

        Raises:
            ValueError: parameters of other names, or a program that was traced for a batch of any size, in which
                reshapes have no fixed sizes.
        """
        values = self._parameter_values()
        if set(parameters) != set(values):
            raise ValueError(
                f"expected the parameters {', '.join(sorted(values))}; got {', '.join(sorted(parameters))}."
            )
        if any(map(is_symbolic, self.input.shape)):
            raise ValueError("this program reads a batch of any size; to train it, trace it for a number of examples.")
        arrays = [jnp.asarray(x, self.input.dtype), *(jnp.asarray(parameters[name]) for name in values)]
        return jax.tree.unflatten(self.tree, run(self.operations, [self.input, *values.values()], self.results, arrays))

    def _parameter_values(self) -> dict[str, Value]:
        found, known = dict[str, Value](), set[int]()
        for operation in self.operations:
            for place, value in enumerate(operation.inputs):
                floating = jnp.issubdtype(value.dtype, jnp.floating)
                if value.is_constant and value.shape and floating and id(value) not in known:
                    known.add(id(value))
                    name = f"{operation.layer or operation.name}/{place}"
                    while name in found:
                        name += "_"
                    found[name] = value
        return found

    @functools.cached_property
    def exported(self) -> export.Exported:
        """The program as ``jax.export`` makes it, for every platform, with the parameters as constants.

        It is lowered for the CPU only: for several platforms JAX would write each operation whose lowering differs
        between them once for each platform. No operation here calls anything outside of StableHLO, so every platform
        can run the program, and the check of the platform is disabled.
        """
        struct = jax.ShapeDtypeStruct(self.input.shape, self.input.dtype)
        anywhere = [export.DisabledSafetyCheck.platform()]
        return export.export(jax.jit(self._run), platforms=("cpu",), disabled_checks=anywhere)(struct)

    @functools.cached_property
    def _compiled(self) -> Callable[[jax.Array | np.ndarray], Any]:
        if jax.default_backend() != "cpu":
            return jax.jit(self.exported.call)
        program = dataclasses.replace(self, operations=tuple(for_cpu(self.operations)))
        return jax.jit(program.exported.call if is_symbolic(self.input.shape[0]) else program._run)

    def _run(self, x: jax.Array) -> Any:
        return jax.tree.unflatten(self.tree, run(self.operations, [self.input], self.results, [x]))

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in sorted(self.counts.items()))
        return f"PortableProgram({np.dtype(self.input.dtype).name}[{','.join(map(str, self.input.shape))}]: {counts})"


def multiply_adds_of(operation: Operation) -> int:
    """Multiply-adds of a convolution or a matrix product for one example; 0 of other operations.

    The zeros between the inputs of a transposed convolution do not count.
    """
    params = operation.params
    if operation.name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        sizes = [operation.inputs[0].shape[axis] for axis in contracted]
        return int(prod(operation.outputs[0].shape[1:]) * prod(sizes))
    if operation.name != "conv_general_dilated":
        return 0
    dilated, numbers = max(params["lhs_dilation"], default=1) > 1, params["dimension_numbers"]
    array, axes = (operation.inputs[0], numbers.lhs_spec) if dilated else (operation.outputs[0], numbers.out_spec)
    return int(prod(array.shape[axis] for axis in axes[2:]) * prod(operation.inputs[1].shape))


def portable(
    function: Callable[[jax.Array], Any],
    input_shape: Sequence[int | None],
    *,
    dtype: DTypeLike = jnp.float32,
    to_unit: bool = False,
    resize: Sequence[int] | None = None,
    mean: ArrayLike | None = None,
    std: ArrayLike | None = None,
    input_range: tuple[float, float] | None = None,
) -> PortableProgram:
    """Traces a function of images as a program that other runtimes can execute.

    Each convolution is one ``lax.conv_general_dilated``, each pool one ``lax.reduce_window``, whatever algorithm
    ``jit`` would select. Parameters are constants. Batch normalisation with fixed statistics, and every other factor or
    offset per channel, becomes part of the layer before it if nothing else reads the result of that layer.

    The options put the preprocessing into the program: ``function((resize(x / 255) - mean) / std)``.

    Args:
        function: of one array, such as ``functools.partial(model.apply, variables, train=False)``.
        input_shape: of the program's argument; None as the first size is a batch of any size.
        dtype: of the program's argument, such as uint8.
        to_unit: whether pixels 0..255 are divided by 255.
        resize: height and width of the images of ``function``; bilinear, antialiased where it shrinks.
        mean: subtracted from each channel.
        std: divides each channel.
        input_range: the least and the greatest entry of the images, such as ``(0, 1)``. By default ``(0, 255)`` with
            ``to_unit``; else 0 to 1 or 0 to 255, if ``mean`` is in one of these ranges; else unknown. ``quantize`` and
            ``separate`` refuse images of another range.

    Returns:
        the program.

    Raises:
        ShapeError: ``input_shape`` has other entries, ``resize`` is not height and width or not of images, or ``mean``
            or ``std`` has neither one entry nor one for each channel.
        ValueError: a standard deviation that is not positive, a range that is not two ascending numbers, or a batch of
            any size for a function that requires the number of examples.

    >>> import functools, jax
    >>> from jaxcnn import models
    >>> model = models.create("lenet5")
    >>> variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 32, 32, 1)))
    >>> program = portable(functools.partial(model.apply, variables), (None, 32, 32, 1))
    >>> program.counts["conv_general_dilated"], program.counts["reduce_window_max"]
    (3, 2)
    """
    shape = _symbolic_shape(input_shape)
    prepare = _preprocessing(shape, to_unit=to_unit, resize=resize, mean=mean, std=std)
    limits = _range_of_input(input_range, to_unit=to_unit, mean=mean)
    struct = jax.ShapeDtypeStruct(shape, jax.dtypes.canonicalize_dtype(dtype))  # the dtype of the arrays of a call
    try:
        operations, value, results, tree = trace(lambda x: function(prepare(x)), struct)
    except Exception as error:
        if not (is_symbolic(shape[0]) and re.search("_DimExpr|[Ss]ymbolic dimension|shape polymorphism", str(error))):
            raise
        first = str(error).splitlines()[0].rstrip(".")
        raise ValueError(
            f"this function requires the number of examples ({first}). Give it as the first entry of input_shape in "
            f"place of None."
        ) from error
    operations, results = recognise(fold_affine(operations, results), results)
    operations = without_unread(operations, results)
    return PortableProgram(tuple(operations), value, tuple(results), tree, input_range=limits)


def _symbolic_shape(input_shape: Sequence[int | None]) -> tuple[Any, ...]:
    sizes = tuple(input_shape)
    if not sizes or None in sizes[1:]:
        raise ShapeError(f"only the first entry of input_shape, the batch, may be None; got {sizes}.")
    known = tuple(as_int(size, name="input_shape") for size in sizes if size is not None)
    if min(known, default=1) < 1:
        raise ShapeError(f"the sizes of input_shape must be at least 1; got {sizes}.")
    return (*export.symbolic_shape("batch"), *known) if sizes[0] is None else known


def _range_of_input(
    given: tuple[float, float] | None, *, to_unit: bool, mean: ArrayLike | None
) -> tuple[float, float] | None:
    """The range of the images of a program with this preprocessing, or None if it is unknown.

    >>> _range_of_input(None, to_unit=False, mean=[0.49, 0.46, 0.41]), _range_of_input(None, to_unit=True, mean=None)
    ((0.0, 1.0), (0.0, 255.0))
    """
    if given is not None:
        if len(given) != 2 or not np.isfinite(given).all() or not given[0] < given[1]:
            raise ValueError(f"input_range must be the least and the greatest entry of the images; got {given}.")
        return float(given[0]), float(given[1])
    if to_unit:
        return 0.0, 255.0
    centre = np.asarray([] if mean is None else mean, np.float64)
    if not centre.size or not 0 < centre.min() <= centre.max() < 255:
        return None
    return (0.0, 1.0) if centre.max() < 1 else (0.0, 255.0)


def _preprocessing(
    shape: Sequence[Any], *, to_unit: bool, resize: Sequence[int] | None, mean: ArrayLike | None, std: ArrayLike | None
) -> Callable[[jax.Array], jax.Array]:
    size = None if resize is None else tuple(as_int(each, name="resize") for each in resize)
    if size is not None and (len(size) != 2 or min(size) < 1):
        raise ShapeError(f"resize must be (height, width), each at least 1; got {size}.")
    centre, spread = (None if each is None else np.asarray(each, np.float32).reshape(-1) for each in (mean, std))
    for name, each in (("mean", centre), ("std", spread)):
        if each is not None and (not shape or each.size not in (1, shape[-1])):
            raise ShapeError(f"{name} must have one entry, or one for each channel of {tuple(shape)}, not {each.size}.")
    if size is not None and len(shape) != 4:
        raise ShapeError(f"only images (batch, height, width, channels) are resized; got {tuple(shape)}.")
    if spread is not None and not (np.isfinite(spread).all() and (spread > 0).all()):
        raise ValueError(f"std must be positive and finite; got {spread}.")

    def prepare(x: jax.Array) -> jax.Array:
        if to_unit:
            x = x.astype(jnp.float32) / 255
        if size is not None:
            x = jax.image.resize(x.astype(jnp.float32), (x.shape[0], *size, *x.shape[3:]), "bilinear")
        ones = (1,) * (x.ndim - 1)
        if centre is not None:
            x = x - centre.reshape(*ones, -1)
        return x if spread is None else x / spread.reshape(*ones, -1)

    return prepare
