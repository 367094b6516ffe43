"""The layers of a model, without running or compiling it."""

import dataclasses
import inspect
import json
from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import prod
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import linen
from jax.typing import DTypeLike

from jaxcnn._axes import as_int
from jaxcnn._errors import ShapeError
from jaxcnn._reprs import html_table, text_table
from jaxcnn.models._registry import create
from jaxcnn.models._summary._abstract import abstract_variables
from jaxcnn.models._summary._equations import View
from jaxcnn.models._summary._tracing import Call, trace_model
from jaxcnn.shapes import ReceptiveField

_TIMES = "\N{MULTIPLICATION SIGN}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerSummary:
    """One layer: a module with parameters or multiply-adds, or without submodules.

    Attributes:
        path: the names of the enclosing modules and its own, such as ``layer1_0/conv1``.
        kind: its class; empty for parameters that the call does not use.
        output_shape: of its first result, batch axis included.
        dtype: of its first result.
        parameters: without those of submodules and those of earlier calls of the same module.
        macs: multiply-adds, without those of submodules.
        activation_bytes: of all its results.
        receptive_field: of its first result; None if it does not depend on the image.
    """

    path: str
    kind: str
    output_shape: tuple[int, ...]
    dtype: str
    parameters: int
    macs: int
    activation_bytes: int
    receptive_field: ReceptiveField | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class MapSummary:
    """One named map of a model's ``features``.

    Attributes:
        name: its key in ``features``.
        shape: batch axis included.
        receptive_field: None if it does not depend on the image.
    """

    name: str
    shape: tuple[int, ...]
    receptive_field: ReceptiveField | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Summary:
    """A model's layers and totals; ``print`` shows it as a table.

    Attributes:
        name: the model's class.
        input_shape: batch axis included.
        layers: in the order in which they are called; their parameters and multiply-adds add up to the totals.
        maps: the entries of ``features``, in its order; empty if the model has no such method.
        parameters: number of values in the collection ``params``.
        macs: multiply-adds of convolutions, dense layers and attention products, of the whole batch.
        activation_bytes: of the results of all layers.
    """

    COLUMNS: ClassVar[tuple[str, ...]] = (
        "layer",
        "kind",
        "output",
        "parameters",
        "multiply-adds",
        "receptive field",
        "jump",
        "memory",
    )

    name: str
    input_shape: tuple[int, ...]
    layers: tuple[LayerSummary, ...]
    maps: tuple[MapSummary, ...]
    parameters: int
    macs: int
    activation_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """The summary as a dict of plain values."""
        return dataclasses.asdict(self)

    def to_json(self) -> str:
        """The summary as JSON."""
        return json.dumps(self.to_dict(), indent=2)

    def rows(self) -> list[tuple[str, ...]]:
        """The rows of the table: one for each layer, one for each named map, and the totals."""
        rows: list[tuple[str, ...]] = [
            (
                layer.path or "(model)",
                layer.kind or "(not called)",
                _shape_text(layer.output_shape),
                f"{layer.parameters:,}" if layer.parameters else "",
                f"{layer.macs:,}" if layer.macs else "",
                *_field_text(layer.receptive_field),
                _bytes_text(layer.activation_bytes),
            )
            for layer in self.layers
        ]
        rows += [
            (each.name, "(map)", _shape_text(each.shape), "", "", *_field_text(each.receptive_field), "")
            for each in self.maps
        ]
        total = _bytes_text(self.activation_bytes)
        rows.append(("total", self.name, "", f"{self.parameters:,}", f"{self.macs:,}", "", "", total))
        return rows

    def __repr__(self) -> str:
        return (
            f"Summary({self.name}, input {_shape_text(self.input_shape)}, {len(self.layers)} layers, "
            f"{self.parameters:,} parameters, {self.macs:,} multiply-adds; print it for the table)"
        )

    def _repr_html_(self) -> str:
        return html_table(self.COLUMNS, self.rows(), caption=f"{self.name}, input {_shape_text(self.input_shape)}")

    def __str__(self) -> str:
        right = [column >= 3 for column in range(len(self.COLUMNS))]
        return "\n".join(text_table([self.COLUMNS, *self.rows()], right=right))


def summary(
    model: linen.Module | str,
    input_shape: Sequence[int],
    *,
    dtype: DTypeLike = jnp.float32,
    spatial_ndim: int | None = None,
    **options: Any,
) -> Summary:
    """Parameters, multiply-adds and receptive fields of a Flax model, from one abstract trace without compilation.

    Multiply-adds are counted for the operations of the trace, within and outside of modules. Every tap of every
    position counts, padding included; adding a bias does not count. Receptive fields are followed through the same
    operations. They include padding, and are upper bounds where axes are sliced at dynamic positions and where rows and
    columns are merged. A scan is followed iteration by iteration, up to 64 iterations. The result of a longer scan or
    of a while loop has the union of the receptive fields of its operands, without padding that is added within the
    loop.

    Args:
        model: any Linen module that is called on one array, or the name of a model in ``models.list_models()``.
        input_shape: of that array, ``(*batch, *spatial, channels)``.
        dtype: of that array.
        spatial_ndim: number of axes before the last that are spatial; None selects all but the first and the last.
        **options: arguments of the call of the model; ``train=False`` is passed to a model with an argument ``train``.

    Raises:
        ShapeError: an input shape that the model does not support, with a size of 0, or with too few axes.
        TypeError: an option that the model does not take, or something other than a Linen module or a name.
        ValueError: an unknown name, or a while loop with multiply-adds, whose number of iterations is unknown.

    >>> from jaxcnn.models import create
    >>> found = summary(create("lenet5"), (1, 32, 32, 1))
    >>> found.parameters, found.macs
    (61706, 416520)
    >>> print(found)
    layer   kind    output           parameters  multiply-adds  receptive field  jump   memory
    c1      Conv    1\N{MULTIPLICATION SIGN}28\N{MULTIPLICATION SIGN}28\N{MULTIPLICATION SIGN}6 ...
    """
    if isinstance(model, str):
        model = create(model)
    if not isinstance(model, linen.Module):
        raise TypeError(
            f"expected a Flax Linen module or the name of a model, but got an object of "
            f"{type(model).__name__}. The call is summary(model, input_shape)."
        )
    shape = tuple(as_int(size, name="input_shape") for size in input_shape)
    spatial = _spatial_axes(shape, spatial_ndim)
    if "train" in inspect.signature(type(model).__call__).parameters:
        options.setdefault("train", False)
    x = jax.ShapeDtypeStruct(shape, dtype)
    variables = abstract_variables(model, x, options)
    trace = trace_model(model, variables, x, spatial, options)
    counts = _parameters_by_path(variables.get("params", {}))
    total = sum(counts.values())
    layers = _layers(trace.calls, counts)
    macs = trace.outside + sum(call.macs for call in trace.calls)
    return Summary(
        name=type(model).__name__,
        input_shape=shape,
        layers=tuple(layers),
        maps=tuple(
            MapSummary(name=name, shape=tuple(kind.shape), receptive_field=_receptive_field(view))
            for name, (kind, view) in trace.maps.items()
        ),
        parameters=total,
        macs=macs,
        activation_bytes=sum(layer.activation_bytes for layer in layers),
    )


def _spatial_axes(shape: tuple[int, ...], spatial_ndim: int | None) -> range:
    """The spatial axes."""
    if len(shape) < 2 or min(shape) < 1:
        raise ShapeError(f"input_shape must be (*batch, *spatial, channels), each at least 1, not {shape}.")
    if spatial_ndim is None:
        return range(1, len(shape) - 1)
    ndim = as_int(spatial_ndim, name="spatial_ndim")
    if not 0 <= ndim < len(shape):
        raise ShapeError(f"spatial_ndim={ndim} does not fit input_shape={shape} with {len(shape)} axes.")
    return range(len(shape) - 1 - ndim, len(shape) - 1)


def _parameters_by_path(params: Mapping[str, Any]) -> dict[tuple[str, ...], int]:
    """The number of parameters of each module, without submodules."""
    counts: dict[tuple[str, ...], int] = {}
    for place, leaf in jax.tree_util.tree_leaves_with_path(params):
        path = tuple(str(getattr(key, "key", key)) for key in place[:-1])
        counts[path] = counts.get(path, 0) + prod(leaf.shape)
    return counts


def _layers(calls: Sequence[Call], counts: dict[tuple[str, ...], int]) -> list[LayerSummary]:
    """The calls with parameters or multiply-adds or without submodules, and parameters that no call uses."""
    layers = []
    for call in calls:
        parameters = counts.pop(call.path, 0)
        if parameters or call.macs or not call.inside:
            layers.append(_layer(call, parameters))
    for path, parameters in counts.items():
        layers.append(
            LayerSummary(
                path="/".join(path),
                kind="",
                output_shape=(),
                dtype="",
                parameters=parameters,
                macs=0,
                activation_bytes=0,
                receptive_field=None,
            )
        )
    return layers


def _layer(call: Call, parameters: int) -> LayerSummary:
    first = call.outputs[0] if call.outputs else None
    return LayerSummary(
        path="/".join(call.path),
        kind=call.kind,
        output_shape=() if first is None else tuple(first.shape),
        dtype="" if first is None else str(first.dtype),
        parameters=parameters,
        macs=call.macs,
        # The result of a module with submodules is usually the result of a submodule, where it is counted.
        activation_bytes=0 if call.inside else sum(prod(each.shape) * each.dtype.itemsize for each in call.outputs),
        receptive_field=_receptive_field(call.views[0]) if call.views else None,
    )


def _receptive_field(view: View | None) -> ReceptiveField | None:
    if view is None:
        return None
    return ReceptiveField(
        size=tuple(span.bounds[1] for span in view),
        jump=tuple(float(span.jump) if isinstance(span.jump, Fraction) else span.jump for span in view),
        offset=tuple(span.bounds[0] for span in view),
    )


def _shape_text(shape: Sequence[int]) -> str:
    return _TIMES.join(map(str, shape))


def _field_text(receptive_field: ReceptiveField | None) -> tuple[str, str]:
    """Size and jump as text; one value if all axes have the same."""
    if receptive_field is None:
        return "", ""
    jump = "" if not any(receptive_field.jump) else _same_once([f"{value:g}" for value in receptive_field.jump])
    return _same_once([str(value) for value in receptive_field.size]), jump


def _same_once(values: Sequence[str]) -> str:
    return values[0] if len(set(values)) == 1 else _TIMES.join(values)


def _bytes_text(count: int) -> str:
    if not count:
        return ""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            break
        count, unit = count / 1024, {"B": "KiB", "KiB": "MiB", "MiB": "GiB"}[unit]  # type: ignore[assignment]
    return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
