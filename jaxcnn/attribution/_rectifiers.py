"""The rectifiers ``max(x, 0)`` of any function, found in its program, and other rules for their derivative.

A missed rectifier would change the result silently, so an operation that resembles a rectifier and is not recognised is
an error.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcnn._programs import Operation, Program, Rule, Value, constants_and_carry, flattened, inner_jaxprs

Rectifier = Callable[[jax.Array], jax.Array]

# Functions under ``jit`` that are gates and not rectifiers, although their code clips at 0.
GATES = ("hard_sigmoid",)
# Functions with their own derivative that are smooth, although their code has a maximum with 0: softplus is one.
_SMOOTH = {"logaddexp"}
_UNCHANGED = {"broadcast_in_dim", "convert_element_type", "copy", "copy_p", "name", "optimization_barrier", "reshape"}
_COMPARISONS = {"gt": 1, "ge": 1, "lt": -1, "le": -1}
_BOOLEAN = {"and", "broadcast_in_dim", "convert_element_type", "not", "or", "reshape", "xor"}
_ROOTS = {"rsqrt", "sqrt", "pow", "log"}


class UnclearRectifier(ValueError):
    """Something in a function that may be a rectifier, in a form that is not recognised.

    Args:
        what: the operation.
    """

    def __init__(self, what: str) -> None:
        super().__init__(
            f"the function has {what}. It may be a rectifier, whose derivative this method replaces. Write rectifiers "
            f"as jax.nn.relu(x) or jnp.maximum(x, 0). For other activations use a method that does not change "
            f"derivatives, such as integrated_gradients."
        )
        self.what = what


@jax.custom_vjp
def guided(x: jax.Array) -> jax.Array:
    """``max(x, 0)``; a cotangent passes where it and ``x`` are positive."""
    return lax.max(x, jnp.zeros((), x.dtype))


def _guided_backward(x: jax.Array, g: jax.Array) -> tuple[jax.Array]:
    return (jnp.where((x > 0) & (g > 0), g, jnp.zeros((), g.dtype)),)


@jax.custom_vjp
def rectified_backward(x: jax.Array) -> jax.Array:
    """``max(x, 0)``; a cotangent passes where it is positive, for every ``x``."""
    return lax.max(x, jnp.zeros((), x.dtype))


def _rectified_backward(_: None, g: jax.Array) -> tuple[jax.Array]:
    return (lax.max(g, jnp.zeros((), g.dtype)),)


@jax.custom_vjp
def redirected(x: jax.Array) -> jax.Array:
    """``max(x, 0)``; a cotangent passes where ``x`` or the cotangent is positive, so that ``x`` may become larger."""
    return lax.max(x, jnp.zeros((), x.dtype))


def _redirected_backward(x: jax.Array, g: jax.Array) -> tuple[jax.Array]:
    return (jnp.where((x > 0) | (g > 0), g, jnp.zeros((), g.dtype)),)


redirected.defvjp(lambda x: (redirected(x), x), _redirected_backward)
guided.defvjp(lambda x: (guided(x), x), _guided_backward)
rectified_backward.defvjp(lambda x: (rectified_backward(x), None), _rectified_backward)


def rectifier_rules(program: Program, rectifier: Rectifier) -> dict[Operation, Rule]:
    """A rule for each operation of a program that is a rectifier of something computed from its inputs.

    Raises:
        ValueError: there is no rectifier, or something that may be one and is not recognised.
    """
    rules = _Search(program, program.inputs, rectifier).rules()
    if not rules:
        raise ValueError(
            "the function has no rectifier max(x, 0) between its input and its result, so that this method would be "
            "the gradient. Use saliency or integrated_gradients."
        )
    return rules


class _Search:
    """The rectifiers of one program.

    Args:
        program: to be searched.
        inputs: those of the program that depend on the input of the function.
        rectifier: what replaces each rectifier.
    """

    def __init__(self, program: Program, inputs: Collection[Value], rectifier: Rectifier) -> None:
        self.program, self.rectifier = program, rectifier
        self.depending = program.depending_on(inputs)
        self.rectified: dict[Operation, Value] = {}  # the operand of operations that are a rectifier and nothing else

    def rules(self) -> dict[Operation, Rule]:
        """The rules of all operations that have one."""
        rules: dict[Operation, Rule] = {}
        needed = set(self.program.operations_for(self.program.outputs, self.program.inputs))
        for operation in self.program.operations:
            if operation in needed and not self.depending.isdisjoint(operation.inputs):
                rule = self.rule(operation)
                if rule is not None:
                    rules[operation] = rule
        return rules

    def rule(self, operation: Operation) -> Rule | None:
        """The rule of one operation, None if it holds no rectifier."""
        name = operation.name
        if name in ("max", "clamp"):
            return self.maximum(operation)
        if name == "select_n":
            return self.selection(operation)
        if name == "scan":
            return self.scan(operation)
        if name == "cond":
            return self.branches(operation)
        if name in ("custom_jvp_call", "custom_vjp_call"):
            return self.call(operation)
        if inner_jaxprs(operation):
            self.refuse_call(operation)
        self.refuse_masks(operation)
        return None

    def maximum(self, operation: Operation) -> Rule | None:
        """A maximum with 0, or ``clamp(0, x, high)``."""
        floating = jnp.issubdtype(operation.outputs[0].aval.dtype, jnp.floating)
        clamp = operation.name == "clamp"
        place = 1 if clamp else 0 if operation.inputs[0] in self.depending else 1
        bound = operation.inputs[0 if clamp else 1 - place]
        if not floating or operation.inputs[place] not in self.depending or bound in self.depending:
            return None  # of two computed arrays, as in max pooling and maxout
        zero = self.zero(bound)
        if zero is None:
            raise UnclearRectifier("a maximum with an array that is not known to be 0 everywhere or nowhere")
        if not zero or self.is_variance(operation.outputs[0]):
            return None
        if clamp:
            return lambda low, x, high: lax.min(self.rectifier(x), jnp.broadcast_to(high, x.shape))
        return self.rectify(operation, place)

    def rectify(self, operation: Operation, place: int) -> Rule:
        """The rule of an operation that is a rectifier of one of its operands and nothing else."""
        self.rectified[operation] = self.source(operation.inputs[place])
        return lambda *operands: self.rectifier(operands[place])

    def selection(self, operation: Operation) -> Rule | None:
        """``where(x > 0, x, 0)``."""
        predicate, *cases = operation.inputs
        comparisons = self.comparisons(predicate)
        if not comparisons:
            return None
        if len(cases) == 2 and (found := self.compared(predicate)) is not None:
            x, positive = found
            kept, dropped = (cases[1], cases[0]) if positive else (cases[0], cases[1])
            if self.source(kept) is x and self.zero(dropped):
                return self.rectify(operation, operation.inputs.index(kept, 1))
        raise UnclearRectifier("a selection by the size of a computed array, such as jnp.where(x > 0, x, slope * x)")

    def call(self, operation: Operation) -> Rule | None:
        """A function with its own derivative: ``jax.nn.relu``, or one that the user wrote."""
        jaxpr = operation.params["call_jaxpr"]
        name = _function_name(jaxpr)
        if name in _SMOOTH:
            return None
        inner = flattened(jaxpr, keep=GATES)
        inputs = [its for its, given in zip(inner.inputs, operation.inputs, strict=True) if given in self.depending]
        search = _Search(inner, inputs, self.rectifier)
        try:
            rules = search.rules()
        except UnclearRectifier as error:
            raise UnclearRectifier(f"{error.what}, inside of {name!r}, which has its own derivative") from None
        if not rules:
            return None
        if len(inner.outputs) == 1 and (last := inner.producer.get(search.source(inner.outputs[0]))) is not None:
            operand = search.rectified.get(last)
            if operand in inner.inputs:
                return self.rectify(operation, inner.inputs.index(operand))
        if name == "relu6":  # min(max(x, 0), 6), of which its own derivative is that of this code
            return lambda *operands: inner.run(operands, rules=rules)
        raise UnclearRectifier(f"a rectifier among other operations inside of {name!r}, which has its own derivative")

    def scan(self, operation: Operation) -> Rule | None:
        """A loop with a known number of iterations."""
        params = operation.params
        body = flattened(params["jaxpr"], keep=GATES)
        rules = _Search(body, body.inputs, self.rectifier).rules()
        if not rules:
            return None
        first, carried = constants_and_carry(params)

        def rule(*operands: Any) -> list[Any]:
            constants, carry, rows = operands[:first], operands[first : first + carried], operands[first + carried :]

            def step(carry: Any, row: Any) -> Any:
                results = body.run([*constants, *carry, *row], rules=rules)
                return tuple(results[:carried]), tuple(results[carried:])

            options = {name: params[name] for name in ("length", "reverse", "unroll")}
            carry, stacked = lax.scan(step, tuple(carry), tuple(rows), **options)
            return [*carry, *stacked]

        return rule

    def branches(self, operation: Operation) -> Rule | None:
        """A choice between programs."""
        programs = [flattened(each, keep=GATES) for each in operation.params["branches"]]
        rules = [_Search(each, each.inputs, self.rectifier).rules() for each in programs]
        if not any(rules):
            return None

        def run(program: Program, own: Mapping[Operation, Rule]) -> Callable[..., Any]:
            return lambda *operands: program.run(operands, rules=own)

        functions = [run(program, own) for program, own in zip(programs, rules, strict=True)]
        return lambda index, *operands: list(lax.switch(index, functions, *operands))

    def refuse_call(self, operation: Operation) -> None:
        """Refuses a rectifier inside of another operation that holds a program."""
        if operation.params.get("name") in GATES:
            return
        for jaxpr in inner_jaxprs(operation):
            inner = flattened(jaxpr, keep=GATES)
            if _Search(inner, inner.inputs, self.rectifier).rules():
                raise UnclearRectifier(f"a rectifier inside of {operation.name!r}, where no rule can be placed")

    def refuse_masks(self, operation: Operation) -> None:
        """Refuses the other ways to write a rectifier: ``x * (x > 0)``, ``(x + abs(x)) / 2``, ``sign``."""
        number = jnp.issubdtype(operation.outputs[0].aval.dtype, jnp.floating)
        if operation.name == "convert_element_type" and number and self.comparisons(operation.inputs[0]):
            raise UnclearRectifier("a comparison with a constant that becomes a number, such as in x * (x > 0)")
        if operation.name == "sign":
            raise UnclearRectifier("the sign of a computed array")
        if operation.name == "add":
            for one, other in (operation.inputs, operation.inputs[::-1]):
                made = self.program.producer.get(self.source(one))
                if made is not None and made.name == "abs" and self.source(made.inputs[0]) is self.source(other):
                    raise UnclearRectifier("x + abs(x), which is twice a rectifier")

    def comparisons(self, value: Value) -> list[Operation]:
        """The comparisons of a computed floating array with a constant from which booleans or integers are computed."""
        made = self.program.producer.get(value)
        if made is None or value not in self.depending:
            return []
        if made.name in _COMPARISONS:
            floating = jnp.issubdtype(made.inputs[0].aval.dtype, jnp.floating)
            return [made] if floating and sum(each in self.depending for each in made.inputs) == 1 else []
        if made.name not in _BOOLEAN:
            return []
        return [each for operand in made.inputs for each in self.comparisons(operand)]

    def compared(self, predicate: Value) -> tuple[Value, bool] | None:
        """The array that a predicate compares with 0, and whether the predicate holds for positive entries."""
        made = self.program.producer.get(self.source(predicate))
        if made is None or made.name not in _COMPARISONS:
            return None
        place = 0 if made.inputs[0] in self.depending else 1
        if not self.zero(made.inputs[1 - place]):
            return None
        direction = _COMPARISONS[made.name] * (1 if place == 0 else -1)
        return self.source(made.inputs[place]), direction > 0

    def source(self, value: Value) -> Value:
        """The value before operations that leave its shape, its dtype and its entries as they are."""
        made = self.program.producer.get(value)
        while made is not None and made.name in _UNCHANGED and len(made.inputs) == 1:
            before, after = made.inputs[0].aval, made.outputs[0].aval
            if before.shape != after.shape or before.dtype != after.dtype:
                break
            value, made = made.inputs[0], self.program.producer.get(made.inputs[0])
        return value

    def zero(self, value: Value) -> bool | None:
        """Whether a value is 0 everywhere (True) or nowhere (False); None in other cases, or if it is not known."""
        if value in self.depending:
            return None
        known = self.program.constant(value)
        if known is None:
            return None
        equal = np.asarray(known) == 0
        return True if equal.all() else None if equal.any() else False

    def is_variance(self, value: Value) -> bool:
        """Whether a value is only used under a root or a logarithm: a variance that rounding made negative."""
        readers = self.program.readers.get(value, [])
        if not readers or value in self.program.outputs:
            return False
        return all(
            reader.name in _ROOTS
            or (
                reader.name in (*_UNCHANGED, "add", "squeeze", "expand_dims")
                and sum(each in self.depending for each in reader.inputs) == 1
                and self.is_variance(reader.outputs[0])
            )
            for reader in readers
        )


def _function_name(jaxpr: Any) -> str:
    """The name of the function of which a jaxpr is the code."""
    info = getattr(getattr(jaxpr, "jaxpr", jaxpr), "debug_info", None)
    return str(getattr(info, "func_name", "") or "")
