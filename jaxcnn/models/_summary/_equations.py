"""Multiply-adds and receptive fields of the equations of a traced program, with one rule for each primitive.

A rule computes the receptive fields of the results from those of the operands. A receptive field is one ``Span`` for
each spatial axis of the image, or None for an operand that does not depend on the image. For a primitive without a
rule, the results have the union of the receptive fields of all operands, which is an upper bound.
"""

from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from typing import Any

from jaxcnn._geometry import Span, cover, regroup

View = tuple[Span, ...]  # one for each spatial axis of the image
Rule = Callable[[Any, Sequence[View | None]], list[View | None]]

_NAMES = """
    abs acos acosh add add_any and asin asinh atan atan2 atanh cbrt ceil clamp convert_element_type copy copy_p cos
    cosh device_put digamma div eq erf erf_inv erfc exp exp2 expm1 floor ge gt imag integer_pow is_finite le lgamma log
    log1p logistic lt max min mul ne neg nextafter not optimization_barrier or pow pvary real reduce_precision rem
    reshard round rsqrt select_n shift_left sharding_constraint sign sin sinh sqrt square stop_gradient sub tan tanh
    xor
"""
_ELEMENTWISE = frozenset(_NAMES.split())
_WINDOWED = frozenset({"reduce_window", "reduce_window_sum", "reduce_window_max", "reduce_window_min"})
_REDUCTIONS = frozenset(f"reduce_{kind}" for kind in ("sum", "max", "min", "prod", "and", "or", "xor")) | {
    "argmax",
    "argmin",
    "reduce",
}
_CUMULATIVE = frozenset({"cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp"})


def multiply_adds(equation: Any) -> int:
    """Multiply-adds of an equation if it is a convolution or a matrix product, else 0.

    Every tap of every position counts, padding included. A transposed convolution has the multiply-adds of the
    convolution that it transposes: the zeros between its inputs do not count.
    """
    params, shapes = equation.params, [operand.aval.shape for operand in equation.invars]
    if "plan" in params:
        geometry = params["plan"].geometry
        spread = max(geometry.input_dilation) > 1 and max(geometry.strides) == 1
        return geometry.transposed().multiply_adds if spread else geometry.multiply_adds
    if equation.primitive.name == "conv_general_dilated":
        out_features, in_features = params["dimension_numbers"].rhs_spec[:2]
        if max(params["lhs_dilation"], default=1) > 1 and max(params["window_strides"], default=1) == 1:
            taps = prod(shapes[1]) // shapes[1][in_features] // params["feature_group_count"]
            return prod(shapes[0]) * taps
        return prod(equation.outvars[0].aval.shape) * prod(shapes[1]) // shapes[1][out_features]
    if equation.primitive.name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        return prod(equation.outvars[0].aval.shape) * prod(shapes[0][axis] for axis in contracted)
    return 0


def views_after(equation: Any, views: Sequence[View | None]) -> list[View | None]:
    """The receptive fields of the results of an equation, from those of its operands."""
    name, count = equation.primitive.name, len(equation.outvars)
    if all(view is None for view in views):
        return [None] * count
    if "plan" in equation.params and name == "conv":
        return _geometric_convolution(equation, views)
    if name in _ELEMENTWISE:
        return _elementwise(equation, views)
    if name in _RULES:
        return _RULES[name](equation, views)
    return _everything(equation, views)


def _everything(equation: Any, views: Sequence[View | None]) -> list[View | None]:
    known = [(view, operand.aval.shape) for view, operand in zip(views, equation.invars, strict=True) if view]
    return [
        tuple(
            cover([view[axis] for view, _ in known], [shape for _, shape in known], len(result.aval.shape))
            for axis in range(len(known[0][0]))
        )
        for result in equation.outvars
    ]


def _elementwise(equation: Any, views: Sequence[View | None]) -> list[View | None]:
    """The union over the operands; an equation with several results maps each operand to its result."""
    if len(equation.outvars) > 1:
        return list(views)
    shape = equation.outvars[0].aval.shape
    known = [
        _broadcast(view, operand.aval.shape, shape)
        for view, operand in zip(views, equation.invars, strict=True)
        if view is not None
    ]
    return [union_of(known, shape)]


def union_of(views: Sequence[View], shape: Sequence[int]) -> View:
    """The receptive field of the sum of arrays of this shape."""
    total = views[0]
    for view in views[1:]:
        total = tuple(one.union(other, shape) for one, other in zip(total, view, strict=True))
    return total


def _broadcast(view: View, shape: Sequence[int], to: Sequence[int]) -> View:
    """The view of an operand that is broadcast; broadcast axes have jump 0."""
    if tuple(shape) == tuple(to):
        return view
    axes: list[int | None] = [None] * len(to)
    for axis, (length, target) in enumerate(zip(shape, to, strict=bool(shape))):
        axes[axis] = axis if length == target else None
    return tuple(span.permuted(axes) for span in view)


def _each(operation: Callable[[Span], Span]) -> Rule:
    """A rule that applies a function to the spans of the first operand."""
    return lambda equation, views: [None if views[0] is None else tuple(map(operation, views[0]))]


def _broadcast_in_dim(equation: Any, views: Sequence[View | None]) -> list[View | None]:
    old, new = equation.invars[0].aval.shape, equation.outvars[0].aval.shape
    axes: list[int | None] = [None] * len(new)
    for axis, target in enumerate(equation.params["broadcast_dimensions"]):
        axes[target] = axis if old[axis] == new[target] else None
    return _each(lambda span: span.permuted(axes))(equation, views)


def _transpose(equation: Any, views: Sequence[View | None]) -> list[View | None]:
    return _each(lambda span: span.permuted(equation.params["permutation"]))(equation, views)


def _squeeze(equation: Any, views: Sequence[View | None]) -> list[View | None]:
    removed = equation.params["dimensions"]
    kept = [axis for axis in range(len(equation.invars[0].aval.shape)) if axis not in removed]
    return _each(lambda span: span.permuted(kept))(equation, views)


def _expand_dims(equation: Any, views: Sequence[View | None]) -> list[View | None]:
    rank, new = len(equation.outvars[0].aval.shape), equation.params["dimensions"]
    old = iter(range(rank))
    axes = [None if axis in new else next(old) for axis in range(rank)]
    return _each(lambda span: span.permuted(axes))(equation, views)


def _reshape(equation: Any, views: Sequence[View | None]) -> list[View | None]:
    old, new = equation.invars[0].aval.shape, equation.outvars[0].aval.shape
    view = views[0]
    assert view is not None  # a reshape has one operand, and views_after handles None
    groups = regroup(old, new)
    for before, _ in groups:
        moving = [span for span in view if any(span.jumps[axis] and old[axis] > 1 for axis in before)]
        if len(before) > 1 and len(moving) > 1:  # rows and columns are merged: the jump is not constant
            for axis in before:
                view = tuple(span.summed(axis, old[axis]) for span in view)
    return [tuple(_regrouped(span, groups, old, new) for span in view)]


def _regrouped(span: Span, groups: Any, old: Sequence[int], new: Sequence[int]) -> Span:
    jumps: list[Any] = []
    for before, after in groups:
        if len(before) == len(after) == 1:
            jumps.append(span.jumps[before[0]])
            continue
        span, jump = span.merged(before, old)
        jumps += Span(1, 0, (jump,)).split(0, [new[axis] for axis in after])
    return Span(span.size, span.first, tuple(jumps))


def _slice(equation: Any, views: Sequence[View | None]) -> list[View | None]:
    starts = equation.params["start_indices"]
    strides = equation.params["strides"] or (1,) * len(starts)

    def taken(span: Span) -> Span:
        for axis, (start, stride) in enumerate(zip(starts, strides, strict=True)):
            span = span.taken(axis, start=start, stride=stride)
        return span

    return _each(taken)(equation, views)


def _rev(equation: Any, views: Sequence[View | None]) -> list[View | None]:
    shape = equation.invars[0].aval.shape

    def turned(span: Span) -> Span:
        for axis in equation.params["dimensions"]:
            span = span.taken(axis, start=shape[axis] - 1, stride=-1)
        return span

    return _each(turned)(equation, views)


def _pad(equation: Any, views: Sequence[View | None]) -> list[View | None]:
    def padded(span: Span) -> Span:
        for axis, (low, _, interior) in enumerate(equation.params["padding_config"]):
            span = span.windows(axis, 1, before=low, input_dilation=interior + 1)
        return span

    return _each(padded)(equation, views)


def _concatenate(equation: Any, views: Sequence[View | None]) -> list[View | None]:
    """The union of the operands, each with the offset of its first entry."""
    along, shape, start = equation.params["dimension"], equation.outvars[0].aval.shape, 0
    shifted = []
    for view, operand in zip(views, equation.invars, strict=True):
        if view is not None:
            shifted.append(tuple(span.taken(along, start=-start) for span in view))
        start += operand.aval.shape[along]
    return [union_of(shifted, shape)]


def _split(equation: Any, views: Sequence[View | None]) -> list[View | None]:
    along, start, found = equation.params["axis"], 0, []
    for size in equation.params["sizes"]:
        shift = partial(Span.taken, axis=along, start=start)
        found += _each(shift)(equation, views)
        start += size
    return found


def _dynamic_slice(equation: Any, views: Sequence[View | None]) -> list[View | None]:
    """The start is unknown, so along each sliced axis the results may depend on all entries."""
    shape, sizes = equation.invars[0].aval.shape, equation.params["slice_sizes"]
    cut = [axis for axis, (size, length) in enumerate(zip(sizes, shape, strict=True)) if size != length]

    def anywhere(span: Span) -> Span:
        for axis in cut:
            span = span.summed(axis, shape[axis])
        return span

    return _each(anywhere)(equation, views)


def _stack(equation: Any, views: Sequence[View | None]) -> list[View | None]:
    along, shape = equation.params["axis"], equation.outvars[0].aval.shape
    axes = [None if axis == along else axis - (axis > along) for axis in range(len(shape))]
    return [union_of([tuple(span.permuted(axes) for span in view) for view in views if view is not None], shape)]


def _reduction(equation: Any, views: Sequence[View | None]) -> list[View | None]:
    operand = equation.invars[0].aval.shape
    axes = equation.params["dimensions" if equation.primitive.name == "reduce" else "axes"]
    kept = [axis for axis in range(len(operand)) if axis not in axes]

    def reduced(span: Span) -> Span:
        for axis in axes:
            span = span.summed(axis, operand[axis])
        return span.permuted(kept)

    return _each(reduced)(equation, views) * len(equation.outvars)


def _cumulative(equation: Any, views: Sequence[View | None]) -> list[View | None]:
    axis = equation.params["axis"]
    return _each(lambda span: span.summed(axis, equation.invars[0].aval.shape[axis]))(equation, views)


def _reduce_window(equation: Any, views: Sequence[View | None]) -> list[View | None]:
    params = equation.params

    def seen(span: Span) -> Span:
        for axis, window in enumerate(params["window_dimensions"]):
            span = span.windows(
                axis,
                window,
                stride=params["window_strides"][axis],
                dilation=params["window_dilation"][axis],
                before=params["padding"][axis][0],
                input_dilation=params["base_dilation"][axis],
            )
        return span

    return _each(seen)(equation, views)


def _dot_general(equation: Any, views: Sequence[View | None]) -> list[View | None]:
    contracted, batch = equation.params["dimension_numbers"]
    shape = equation.outvars[0].aval.shape
    found, start = [], len(batch[0])  # axes of the result: batch, free axes of the first operand, of the second
    for side, view in enumerate(views):
        operand = equation.invars[side].aval.shape
        free = [axis for axis in range(len(operand)) if axis not in (*contracted[side], *batch[side])]
        axes: list[int | None] = [None] * len(shape)
        axes[: len(batch[side])] = batch[side]
        axes[start : start + len(free)] = free
        start += len(free)
        if view is not None:
            for axis in contracted[side]:
                view = tuple(span.summed(axis, operand[axis]) for span in view)
            found.append(tuple(span.permuted(axes) for span in view))
    return [union_of(found, shape)]


def _convolution(equation: Any, views: Sequence[View | None]) -> list[View | None]:
    params, (x, kernel) = equation.params, [operand.aval.shape for operand in equation.invars]
    if views[0] is None or views[1] is not None or params["batch_group_count"] > 1:
        return _everything(equation, views)
    lhs, rhs, out = params["dimension_numbers"]

    def seen(span: Span) -> Span:
        span = span.summed(lhs[1], x[lhs[1]])
        for index, axis in enumerate(lhs[2:]):
            span = span.windows(
                axis,
                kernel[rhs[2 + index]],
                stride=params["window_strides"][index],
                dilation=params["rhs_dilation"][index],
                before=params["padding"][index][0],
                input_dilation=params["lhs_dilation"][index],
            )
        return span.permuted([lhs[out.index(axis)] for axis in range(len(x))])

    return [tuple(map(seen, views[0]))]


def _geometric_convolution(equation: Any, views: Sequence[View | None]) -> list[View | None]:
    geometry = equation.params["plan"].geometry
    if views[0] is None or views[1] is not None:
        return _everything(equation, views)

    def seen(span: Span) -> Span:
        batch = len(geometry.batch_shape)
        span = span.summed(batch + geometry.ndim, geometry.in_channels)
        for index in range(geometry.ndim):
            span = span.windows(
                batch + index,
                geometry.window[index],
                stride=geometry.strides[index],
                dilation=geometry.kernel_dilation[index],
                before=geometry.pads[index][0],
                input_dilation=geometry.input_dilation[index],
            )
        return span

    return [tuple(map(seen, views[0]))]


_RULES: dict[str, Rule] = {
    "broadcast_in_dim": _broadcast_in_dim,
    "concatenate": _concatenate,
    "conv_general_dilated": _convolution,
    "dot_general": _dot_general,
    "dynamic_slice": _dynamic_slice,
    "expand_dims": _expand_dims,
    "pad": _pad,
    "reshape": _reshape,
    "rev": _rev,
    "slice": _slice,
    "split": _split,
    "squeeze": _squeeze,
    "stack": _stack,
    "transpose": _transpose,
    **dict.fromkeys(_CUMULATIVE, _cumulative),
    **dict.fromkeys(_REDUCTIONS, _reduction),
    **dict.fromkeys(_WINDOWED, _reduce_window),
}
