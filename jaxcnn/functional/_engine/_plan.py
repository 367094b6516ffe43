"""A requested convolution, as one value that is passed from the public functions to the algorithms."""

import dataclasses
from math import prod
from typing import Any, Literal, NamedTuple, get_args

import jax.numpy as jnp
from jax.lax import PrecisionLike
from jax.typing import DTypeLike

from jaxcnn._axes import Sizes
from jaxcnn._errors import check_choice
from jaxcnn._geometry import PADDING_MODES, ConvAlgorithm, ConvGeometry, PaddingMode, conv_geometry
from jaxcnn.functional._dtypes import bilinear_dtypes

Operation = Literal["forward", "input_grad", "kernel_grad"]
OPERATIONS: tuple[Operation, ...] = get_args(Operation)

# The input gradient of a convolution is the forward operation of another, so algorithms implement only these two.
BaseOperation = Literal["forward", "kernel_grad"]

# Whether XLA partitions a program over devices; ``"one axis"`` if it does over a mesh that has one axis.
Partitioned = Literal[False, True, "one axis"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConvPlan:
    """A convolution without its arrays: the geometry, and all options that decide how it is computed.

    Plans are hashable, so that they can be parameters of JAX primitives.

    Attributes:
        geometry: of the arrays that the public function was called with.
        dtype: of both operands in the computation.
        preferred_element_type: the dtype to sum in and to return, as in ``jax.lax.conv_general_dilated``.
        result_dtype: the dtype that the public function returns; None if it is the dtype of the computation.
        algorithm: ``"auto"``, or the name of one.
        precision: as in ``jax.lax.conv_general_dilated``.
        padding_mode: ``"zeros"``, ``"reflect"``, ``"edge"`` or ``"circular"``.
        flip_kernel: whether the window is reversed first.
    """

    geometry: ConvGeometry
    dtype: Any
    preferred_element_type: Any = None
    result_dtype: Any = None
    algorithm: ConvAlgorithm = "auto"
    precision: Any = None
    padding_mode: PaddingMode = "zeros"
    flip_kernel: bool = False

    def __post_init__(self) -> None:
        for name in ("dtype", "preferred_element_type", "result_dtype"):
            dtype = getattr(self, name)
            object.__setattr__(self, name, None if dtype is None else jnp.dtype(dtype))

    @property
    def out_dtype(self) -> Any:
        """The dtype that the computation returns."""
        return self.dtype if self.preferred_element_type is None else self.preferred_element_type

    @property
    def bytes_moved(self) -> int:
        """Bytes of ``x`` and ``y`` in the dtype of the operands."""
        return self.dtype.itemsize * (prod(self.geometry.x_shape) + prod(self.geometry.out_shape))

    def with_geometry(self, geometry: ConvGeometry) -> "ConvPlan":
        """The same options for another geometry."""
        return dataclasses.replace(self, geometry=geometry)

    def with_merged_batch(self) -> "ConvPlan":
        """The same convolution with one batch axis."""
        return self.with_geometry(self.geometry.with_batch(prod(self.geometry.batch_shape)))

    def base(self) -> "ConvPlan":
        """The part that the primitives compute.

        Padding other than zeros, the reversal of the window and the conversion of the result are operations before
        and after the primitive, so that equal primitives have equal plans.
        """
        geometry = self.geometry if self.padding_mode == "zeros" else self.geometry.padded()
        return dataclasses.replace(self, geometry=geometry, padding_mode="zeros", flip_kernel=False, result_dtype=None)

    def transposed(self) -> "ConvPlan":
        """The convolution of the cotangent of ``y`` with the transposed kernel, which gives the cotangent of ``x``."""
        return self.with_geometry(self.geometry.transposed())

    def of_cotangent(self) -> "ConvPlan":
        """The same options where an operand is the cotangent of ``y``, so that the dtype is that of ``y``."""
        return dataclasses.replace(self, dtype=self.out_dtype, preferred_element_type=None)


def plan_conv(
    x_shape: Sizes,
    kernel_shape: Sizes,
    operands: tuple[Any, Any, Any],
    *,
    padding_mode: PaddingMode,
    flip_kernel: bool,
    algorithm: ConvAlgorithm,
    precision: PrecisionLike,
    preferred_element_type: DTypeLike | None,
    **geometry_options: Any,
) -> ConvPlan:
    """The plan of a call of ``conv``, or of one of its gradients.

    Args:
        x_shape: of ``x``, whose gradient may be the result.
        kernel_shape: of the kernel.
        operands: the two operands and the bias, or None: arrays, or dtypes.
        padding_mode: as in ``conv``, like ``flip_kernel``, ``algorithm``, ``precision`` and ``preferred_element_type``.
        **geometry_options: ``strides``, ``padding``, the dilations and ``feature_group_count``.

    Raises:
        ShapeError: shapes or options that do not fit together.
        ValueError: a padding mode that does not exist.
        TypeError: an option that must be an integer is not.
    """
    geometry = conv_geometry(x_shape, kernel_shape, **geometry_options)
    check_choice(padding_mode, PADDING_MODES, name="padding_mode")
    return ConvPlan(
        geometry=geometry,
        padding_mode=padding_mode,
        flip_kernel=flip_kernel,
        algorithm=algorithm,
        precision=precision,
        **bilinear_dtypes(*operands, preferred_element_type)._asdict(),
    )


class Task(NamedTuple):
    """The operation that an algorithm is given.

    If ``exchanged``, the operands change places, and the result is the transposed kernel.
    """

    plan: ConvPlan
    operation: BaseOperation
    exchanged: bool


def task_of(plan: ConvPlan, operation: Operation) -> Task:
    """How an operation of a plan is computed.

    The input gradient is the forward operation of the transposed plan. The kernel gradient of a dilated input without
    strides, as in a transposed convolution, is computed as the kernel gradient of the transposed plan, which has
    strides and no dilated input: algorithms compute that one faster.
    """
    plan = plan.base()
    if operation == "forward":
        return Task(plan, "forward", exchanged=False)
    plan = plan.of_cotangent()
    if operation == "input_grad":
        return Task(plan.transposed(), "forward", exchanged=False)
    exchanged = max(plan.geometry.input_dilation) > 1 == max(plan.geometry.strides)
    return Task(plan.transposed() if exchanged else plan, "kernel_grad", exchanged)
