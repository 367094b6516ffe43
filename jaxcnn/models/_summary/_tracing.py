"""A trace of a Flax model in which the layers are marked, and the analysis of its equations.

The model is traced abstractly. Each call of a module adds two equations of an identity primitive, one on its arguments
and one on its results, which mark the beginning and the end of the layer in the program. This works for any Flax
module.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from flax import linen
from jax.extend.core import Literal, Primitive, Var
from jax.interpreters import ad, batching

from jaxcnn._geometry import Span, cover
from jaxcnn._programs import constants_and_carry
from jaxcnn.models._summary._abstract import BlankParameters, keys
from jaxcnn.models._summary._equations import View, multiply_adds, union_of, views_after

# A longer scan is not followed iteration by iteration.
MOST_ITERATIONS = 64

_mark = Primitive("jaxcnn_mark")
_mark.multiple_results = True


def _jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> tuple[list[Any], Sequence[Any]]:
    return _mark.bind(*primals, **params), tangents


_mark.def_impl(lambda *arrays, **_: list(arrays))
_mark.def_abstract_eval(lambda *arrays, **_: list(arrays))
ad.primitive_jvps[_mark] = _jvp
batching.primitive_batchers[_mark] = lambda arrays, axes, **params: (_mark.bind(*arrays, **params), axes)


@dataclasses.dataclass(kw_only=True)
class Call:
    """One call of a module.

    Attributes:
        path: names of the enclosing modules and its own, from the outside.
        kind: its class.
        macs: multiply-adds, without those of submodules.
        inside: number of calls of submodules.
        ended: whether the program contains its end mark; False for calls that Flax traces only for their shapes.
        outputs: type of each result.
        views: receptive field of each result.
    """

    path: tuple[str, ...]
    kind: str
    macs: int = 0
    inside: int = 0
    ended: bool = False
    outputs: list[Any] = dataclasses.field(default_factory=list)
    views: list[View | None] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(kw_only=True)
class Trace:
    """A model's calls in the order in which they begin, and its named maps.

    Attributes:
        calls: of modules.
        maps: type and receptive field of the entries of ``features``, by name.
        outside: multiply-adds outside of modules.
    """

    calls: list[Call] = dataclasses.field(default_factory=list)
    maps: dict[str, tuple[Any, View | None]] = dataclasses.field(default_factory=dict)
    outside: int = 0


def trace_model(
    model: linen.Module, variables: Any, x: jax.ShapeDtypeStruct, spatial: Sequence[int], options: Mapping[str, Any]
) -> Trace:
    """Traces a call of the model on ``x`` with the spatial axes ``spatial``."""
    trace = Trace()
    collections = [name for name in variables if name != "params"]
    blank = BlankParameters()

    def call(variables: Any, x: jax.Array) -> Any:
        with linen.intercept_methods(_marking(trace)), linen.intercept_methods(blank.intercept):
            return model.apply(variables, x, rngs=keys(), mutable=collections, **options)

    program = jax.make_jaxpr(call)(variables, x)
    jumps = [tuple(int(axis == at) for axis in range(len(x.shape))) for at in spatial]
    image: View = tuple(Span(1, 0, each) for each in jumps)
    unseen = [None] * (len(program.jaxpr.invars) - 1)
    _Walk(trace).run(program.jaxpr, [*unseen, image if spatial else None])
    trace.calls = [each for each in trace.calls if each.ended]
    return trace


def _marking(trace: Trace) -> Callable[..., Any]:
    """An interceptor of Flax methods that adds marks around each call of a module."""

    def intercept(call: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
        module = context.module
        if context.method_name == "features" and not module.path:
            maps = call(*args, **kwargs)
            # As a list, since JAX sorts the keys of a dictionary.
            return dict(zip(maps, _marked(list(maps.values()), "map", 0, names=tuple(maps)), strict=True))
        if context.method_name != "__call__":
            return call(*args, **kwargs)
        index = len(trace.calls)
        trace.calls.append(Call(path=module.path, kind=type(module).__name__))
        args, kwargs = _marked((args, kwargs), "begin", index)
        return _marked(call(*args, **kwargs), "end", index)

    return intercept


def _marked(tree: Any, event: str, index: int, *, names: tuple[str, ...] = ()) -> Any:
    """The tree with its arrays passed through the identity primitive."""
    leaves, structure = jax.tree.flatten(tree)
    places = [place for place, leaf in enumerate(leaves) if isinstance(leaf, jax.Array)]
    marked = _mark.bind(*(leaves[place] for place in places), event=event, index=index, names=names)
    for place, value in zip(places, marked, strict=True):
        leaves[place] = value
    return jax.tree.unflatten(structure, leaves)


class _Walk:
    """Visits the equations of a program and of its inner programs, in order."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.around: list[int] = []  # calls that have begun and not ended

    def run(self, jaxpr: Any, views: Sequence[View | None], *, times: int = 1) -> list[View | None]:
        """The receptive fields of the results of a program, whose multiply-adds are counted ``times`` times."""
        seen: dict[Var, View | None] = dict(zip(jaxpr.invars, views, strict=True))

        def read(variable: Any) -> View | None:
            return None if isinstance(variable, Literal) else seen.get(variable)

        for equation in jaxpr.eqns:
            operands = [read(variable) for variable in equation.invars]
            results = self.step(equation, operands, times)
            seen.update(zip(equation.outvars, results, strict=True))
        return [read(variable) for variable in jaxpr.outvars]

    def step(self, equation: Any, views: list[View | None], times: int) -> list[View | None]:
        """The receptive fields of the results of one equation."""
        name, params = equation.primitive.name, equation.params
        if equation.primitive is _mark:
            self.note(equation, views)
            return views
        if name == "scan" and params["length"] <= MOST_ITERATIONS:
            return self.iterate(equation, views, times)
        if name == "scan":
            self.run(_open_jaxpr(params["jaxpr"]), _body_operands(equation, views), times=times * params["length"])
            return _loop_results(equation, views)
        if name == "while":
            self.check_while(equation)
            return _loop_results(equation, views)
        if name == "cond":
            return self.branch(equation, views, times)
        inner = _body(params)
        if inner is not None and len(inner.invars) == len(views):
            return self.run(inner, views, times=times)
        self.count(times * multiply_adds(equation))
        return views_after(equation, views)

    def note(self, equation: Any, views: list[View | None]) -> None:
        """Records a mark."""
        event, index = equation.params["event"], equation.params["index"]
        types = [operand.aval for operand in equation.invars]
        if event == "map":
            self.trace.maps.update(zip(equation.params["names"], zip(types, views, strict=True), strict=True))
        elif event == "begin":
            for outer in self.around[-1:]:
                self.trace.calls[outer].inside += 1
            self.around.append(index)
        else:
            self.around.remove(index)
            call = self.trace.calls[index]
            call.outputs, call.views, call.ended = types, views, True

    def count(self, macs: int) -> None:
        """Adds multiply-adds to the innermost module."""
        if self.around:
            self.trace.calls[self.around[-1]].macs += macs
        else:
            self.trace.outside += macs

    def branch(self, equation: Any, views: list[View | None], times: int) -> list[View | None]:
        """The multiply-adds of the branch with the most, and the union of the receptive fields of all branches."""
        costs, found = [], []
        for program in equation.params["branches"]:
            walk = _Walk(Trace(calls=[dataclasses.replace(call, macs=0) for call in self.trace.calls]))
            walk.around = list(self.around)
            found.append(walk.run(_open_jaxpr(program), views[1:], times=times))
            costs.append(walk.trace.outside + sum(call.macs for call in walk.trace.calls))
        costliest = equation.params["branches"][costs.index(max(costs))]
        self.run(_open_jaxpr(costliest), views[1:], times=times)
        results = []
        for result, *each in zip(equation.outvars, *found, strict=True):
            known = [view for view in each if view is not None]
            results.append(union_of(known, result.aval.shape) if known else None)
        return results

    def iterate(self, equation: Any, views: list[View | None], times: int) -> list[View | None]:
        """A scan, iteration by iteration; receptive fields may grow with each."""
        params = equation.params
        first, carried = constants_and_carry(params)
        constants, carry, rows = views[:first], views[first : first + carried], views[first + carried :]
        stacked: list[list[View | None]] = []
        for iteration in range(params["length"]):
            place = params["length"] - 1 - iteration if params["reverse"] else iteration
            inside = [view and tuple(_entry(span, place) for span in view) for view in rows]
            results = self.run(_open_jaxpr(params["jaxpr"]), [*constants, *carry, *inside], times=times)
            carry = results[:carried]
            stacked.append(results[carried:])
        outputs = enumerate(equation.outvars[carried:])
        results = [_stack([each[index] for each in stacked], output.aval.shape) for index, output in outputs]
        return [*carry, *results]

    def check_while(self, equation: Any) -> None:
        """Raises for a while loop with multiply-adds, whose number of iterations is unknown."""
        walk = _Walk(Trace(calls=[dataclasses.replace(call, macs=0) for call in self.trace.calls]))
        body = _open_jaxpr(equation.params["body_jaxpr"])
        walk.run(body, [None] * len(body.invars))
        if walk.trace.outside + sum(call.macs for call in walk.trace.calls):
            raise ValueError(
                "the model has multiply-adds inside a while loop, whose number of iterations is not known "
                "statically. For a static number of iterations use jax.lax.scan or flax.linen.scan."
            )


def _body(params: Mapping[str, Any]) -> Any:
    """The inner program of an equation that calls one: jit, remat, a function with a custom derivative."""
    for name in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        if name in params:
            return _open_jaxpr(params[name])
    return None


def _open_jaxpr(program: Any) -> Any:
    """The jaxpr of a ``ClosedJaxpr``; another jaxpr is returned unchanged."""
    return getattr(program, "jaxpr", program)


def _entry(span: Span, place: int) -> Span:
    """The span of one entry along the first axis, which is removed."""
    return span.taken(0, start=place).permuted(range(1, len(span.jumps)))


def _stack(views: Sequence[View | None], shape: Sequence[int]) -> View | None:
    """The union of arrays that are stacked along a new first axis."""
    known = [tuple(span.permuted((None, *range(len(span.jumps)))) for span in view) for view in views if view]
    return union_of(known, shape) if known else None


def _body_operands(equation: Any, views: Sequence[View | None]) -> list[View | None]:
    """The operands of the body of a loop: each may depend on everything that any operand depends on."""
    ranks = [len(variable.aval.shape) for variable in _open_jaxpr(equation.params["jaxpr"]).invars]
    union = _union_of_operands(equation, views)
    return [union and tuple(cover([span], [()], rank) for span in union) for rank in ranks]


def _loop_results(equation: Any, views: Sequence[View | None]) -> list[View | None]:
    """The results of a loop: each may depend on everything that any operand depends on."""
    union = _union_of_operands(equation, views)
    return [union and tuple(cover([span], [()], len(v.aval.shape)) for span in union) for v in equation.outvars]


def _union_of_operands(equation: Any, views: Sequence[View | None]) -> View | None:
    known = [(view, v.aval.shape) for view, v in zip(views, equation.invars, strict=True) if view is not None]
    if not known:
        return None
    shapes = [shape for _, shape in known]
    return tuple(cover([view[axis] for view, _ in known], shapes, 0) for axis in range(len(known[0][0])))
