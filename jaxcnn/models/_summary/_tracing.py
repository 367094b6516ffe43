"""A Flax model as a list of equations in which the layers are marked, and a walk through them that counts.

The model is traced on shapes alone. While it is, each call of a module leaves two equations of a primitive that does
nothing: one on its arguments and one on its results. So the program says where a layer begins and ends, whatever
happens inside it, and any Flax module is served as it is.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from flax import linen
from jax.extend.core import Literal, Primitive, Var
from jax.interpreters import ad, batching

from jaxcnn._geometry import Span, cover
from jaxcnn.models._summary._abstract import BlankParameters, keys
from jaxcnn.models._summary._equations import View, multiply_adds, union_of, views_after

# A loop of more turns is not followed turn by turn.
MOST_TURNS = 64

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
    """One call of a module, and what the walk found about it.

    Attributes:
        path: names of the module and those around it, from the outside.
        kind: its class.
        macs: multiply-adds in the module itself, without those of modules inside it.
        inside: whether modules were called inside it.
        ended: whether the program has its end; not so where Flax traced a module once to learn its shapes.
        outputs: type of each result.
        views: what each result sees.
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
        maps: type and view of what ``features`` gives, by name.
        outside: multiply-adds outside of every module.
    """

    calls: list[Call] = dataclasses.field(default_factory=list)
    maps: dict[str, tuple[Any, View | None]] = dataclasses.field(default_factory=dict)
    outside: int = 0


def trace_model(
    model: linen.Module, variables: Any, x: jax.ShapeDtypeStruct, spatial: Sequence[int], options: Mapping[str, Any]
) -> Trace:
    """Traces a call of the model on ``x``, whose axes ``spatial`` are those of the image."""
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
    """The interceptor of Flax that brackets each call of a module with marks."""

    def intercept(call: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
        module = context.module
        if context.method_name == "features" and not module.path:
            maps = call(*args, **kwargs)
            # As a list, since JAX would order a dictionary by the alphabet.
            return dict(zip(maps, _marked(list(maps.values()), "map", 0, names=tuple(maps)), strict=True))
        if context.method_name != "__call__":
            return call(*args, **kwargs)
        index = len(trace.calls)
        trace.calls.append(Call(path=module.path, kind=type(module).__name__))
        args, kwargs = _marked((args, kwargs), "begin", index)
        return _marked(call(*args, **kwargs), "end", index)

    return intercept


def _marked(tree: Any, event: str, index: int, *, names: tuple[str, ...] = ()) -> Any:
    """The tree with its arrays passed through a mark."""
    leaves, structure = jax.tree.flatten(tree)
    places = [place for place, leaf in enumerate(leaves) if isinstance(leaf, jax.Array)]
    marked = _mark.bind(*(leaves[place] for place in places), event=event, index=index, names=names)
    for place, value in zip(places, marked, strict=True):
        leaves[place] = value
    return jax.tree.unflatten(structure, leaves)


class _Walk:
    """Goes through the equations of a program and of those inside it, in order."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.around: list[int] = []  # calls that have begun and not ended

    def run(self, jaxpr: Any, views: Sequence[View | None], *, times: int = 1) -> list[View | None]:
        """What the results of a program see; everything it multiplies is counted so many times."""
        seen: dict[Var, View | None] = dict(zip(jaxpr.invars, views, strict=True))

        def read(variable: Any) -> View | None:
            return None if isinstance(variable, Literal) else seen.get(variable)

        for equation in jaxpr.eqns:
            operands = [read(variable) for variable in equation.invars]
            results = self.step(equation, operands, times)
            seen.update(zip(equation.outvars, results, strict=True))
        return [read(variable) for variable in jaxpr.outvars]

    def step(self, equation: Any, views: list[View | None], times: int) -> list[View | None]:
        """What the results of one equation see."""
        name, params = equation.primitive.name, equation.params
        if equation.primitive is _mark:
            self.note(equation, views)
            return views
        if name == "scan" and params["length"] <= MOST_TURNS:
            return self.turn(equation, views, times)
        if name == "scan":
            self.run(_open(params["jaxpr"]), _resting(equation, views), times=times * params["length"])
            return _whole(equation, views)
        if name == "while":
            self.turn_unknown(equation)
            return _whole(equation, views)
        if name == "cond":
            return self.branch(equation, views, times)
        inner = _body(params)
        if inner is not None and len(inner.invars) == len(views):
            return self.run(inner, views, times=times)
        self.count(times * multiply_adds(equation))
        return views_after(equation, views)

    def note(self, equation: Any, views: list[View | None]) -> None:
        """Takes down what a mark says."""
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
        """Books multiply-adds on the innermost module."""
        if self.around:
            self.trace.calls[self.around[-1]].macs += macs
        else:
            self.trace.outside += macs

    def branch(self, equation: Any, views: list[View | None], times: int) -> list[View | None]:
        """One of several programs is run: the costliest counts, and what any of them sees is seen."""
        costs, found = [], []
        for program in equation.params["branches"]:
            walk = _Walk(Trace(calls=[dataclasses.replace(call, macs=0) for call in self.trace.calls]))
            walk.around = list(self.around)
            found.append(walk.run(_open(program), views[1:], times=times))
            costs.append(walk.trace.outside + sum(call.macs for call in walk.trace.calls))
        costliest = equation.params["branches"][costs.index(max(costs))]
        self.run(_open(costliest), views[1:], times=times)
        results = []
        for result, *each in zip(equation.outvars, *found, strict=True):
            known = [view for view in each if view is not None]
            results.append(union_of(known, result.aval.shape) if known else None)
        return results

    def turn(self, equation: Any, views: list[View | None], times: int) -> list[View | None]:
        """A loop, turn after turn, each of which may see more than the one before."""
        params = equation.params
        first, carried = _constants_and_carry(params)
        constants, carry, rows = views[:first], views[first : first + carried], views[first + carried :]
        stacked: list[list[View | None]] = []
        for turn in range(params["length"]):
            place = params["length"] - 1 - turn if params["reverse"] else turn
            inside = [view and tuple(_entry(span, place) for span in view) for view in rows]
            results = self.run(_open(params["jaxpr"]), [*constants, *carry, *inside], times=times)
            carry = results[:carried]
            stacked.append(results[carried:])
        outputs = enumerate(equation.outvars[carried:])
        whole = [_stack([each[index] for each in stacked], output.aval.shape) for index, output in outputs]
        return [*carry, *whole]

    def turn_unknown(self, equation: Any) -> None:
        """Refuses a loop that multiplies and of which nobody knows how often it turns."""
        walk = _Walk(Trace(calls=[dataclasses.replace(call, macs=0) for call in self.trace.calls]))
        body = _open(equation.params["body_jaxpr"])
        walk.run(body, [None] * len(body.invars))
        if walk.trace.outside + sum(call.macs for call in walk.trace.calls):
            raise ValueError(
                "the model multiplies inside a while loop, and how often that turns is not known before it "
                "runs. With a number of turns known beforehand use jax.lax.scan or flax.linen.scan."
            )


def _body(params: Mapping[str, Any]) -> Any:
    """The program inside an equation that runs one as it is: jit, remat, a function with its own derivative."""
    for name in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        if name in params:
            return _open(params[name])
    return None


def _open(program: Any) -> Any:
    """The program without its constants."""
    return getattr(program, "jaxpr", program)


def _constants_and_carry(params: Mapping[str, Any]) -> tuple[int, int]:
    """How many operands of a scan are constants, and how many it carries; JAX 0.12 keeps them in a tree."""
    if "num_consts" in params:
        return params["num_consts"], params["num_carry"]
    constants, carry, _ = params["ft_in"].unpack()
    return len(constants), len(carry)


def _entry(span: Span, place: int) -> Span:
    """One entry of the first axis, which goes away."""
    return span.taken(0, start=place).permuted(range(1, len(span.jumps)))


def _stack(views: Sequence[View | None], shape: Sequence[int]) -> View | None:
    """Arrays put behind one another along a new first axis: all that any of them sees."""
    known = [tuple(span.permuted((None, *range(len(span.jumps)))) for span in view) for view in views if view]
    return union_of(known, shape) if known else None


def _resting(equation: Any, views: Sequence[View | None]) -> list[View | None]:
    """For the body of a loop: each operand may see all that any of them sees."""
    rank = [len(variable.aval.shape) for variable in _open(equation.params["jaxpr"]).invars]
    whole = _union_at_rest(equation, views)
    return [whole and tuple(cover([span], [()], ndim) for span in whole) for ndim in rank]


def _whole(equation: Any, views: Sequence[View | None]) -> list[View | None]:
    """Results of a loop: at least all that its operands see."""
    whole = _union_at_rest(equation, views)
    return [whole and tuple(cover([span], [()], len(v.aval.shape)) for span in whole) for v in equation.outvars]


def _union_at_rest(equation: Any, views: Sequence[View | None]) -> View | None:
    known = [(view, v.aval.shape) for view, v in zip(views, equation.invars, strict=True) if view is not None]
    if not known:
        return None
    shapes = [shape for _, shape in known]
    return tuple(cover([view[axis] for view, _ in known], shapes, 0) for axis in range(len(known[0][0])))
