"""Gradients compared with central differences, entry by entry."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

Mode = Literal["reverse", "forward"]

# The steps of the central differences, as fractions of the first step. An entry is right if the difference of one step
# agrees: a smaller step has a smaller truncation error and may exclude a kink, a larger step has less rounding error.
_FRACTIONS = (1.0, 1 / 8, 1 / 64)


class GradientError(AssertionError):
    """A gradient that differs from central differences."""


@dataclasses.dataclass(frozen=True)
class GradientCheck:
    """The result of ``check_gradients`` for gradients that are right.

    Attributes:
        checked: the number of entries that were compared.
        largest: the largest relative difference between a gradient and its central difference.
        where: the entry of that difference, such as ``"argument 1['kernel'][0, 2]"``.
        kinks: entries at which the function has no derivative, such as those of ``relu`` at 0; the gradient there is
            between the derivatives from the left and from the right.
    """

    checked: int
    largest: float
    where: str
    kinks: tuple[str, ...]


def check_gradients(
    f: Callable[..., Any],
    *args: Any,
    modes: Sequence[Mode] = ("reverse",),
    rtol: float | None = None,
    max_entries: int = 200,
    seed: int = 0,
) -> GradientCheck:
    """Compares the derivatives of a function with central differences, entry by entry, in float64.

    For ``s(x) = sum of c * f(x)``, with random ``c``, each entry of the gradient ``g`` is compared with
    ``n = (s(x + h e) - s(x - h e)) / (2 h)``, where ``h = eps**(1/3) * max(|x|, 1)`` and two smaller steps. An entry is
    wrong where ``|g - n| > rtol * max(|g|, |n|)`` plus the rounding error of ``n``, for each ``h``. It is a kink, and
    not wrong, where the derivatives from the left and the right differ for each ``h`` and ``g`` is between them.

    ``jax.test_util.check_grads`` compares a single projection onto a random direction. It can miss an error of 1 % in
    one of many entries, and it does not report which argument is wrong.

    Args:
        f: a function of arrays and pytrees of arrays that ``jax.jit`` compiles; its results are arrays or pytrees.
        *args: the point at which derivatives are compared. Floating entries are checked, in float64; integers, booleans
            and keys stay as they are.
        modes: ``"reverse"`` checks the rules of ``jax.grad``; ``"forward"`` those of ``jax.jvp``, along random
            directions, one for each argument.
        rtol: the largest relative difference; None is 1e-6, or 5e-4 if ``f`` converts to float32.
        max_entries: the largest number of entries to check in each array. In a larger array, this number of entries is
            drawn at random.
        seed: of the random numbers.

    Returns:
        the number of entries, the largest difference with its place, and the kinks.

    Raises:
        GradientError: a wrong derivative; names the argument, the index and both values.
        TypeError: no floating entry among the arguments or the results.
        ValueError: ``max_entries`` below 1, no mode, or an unknown mode.

    Source: central differences as in the notes of Stanford's CS231n, "Gradient checks".

    >>> import jax, jax.numpy as jnp
    >>> import jaxcnn
    >>> jaxcnn.check_gradients(lambda x, y: jnp.sin(x) * y, jnp.arange(3.0), jnp.ones(3)).checked
    6
    >>> jaxcnn.check_gradients(jax.nn.relu, jnp.array([-1.0, 0.0, 2.0])).kinks
    ('argument 0[1]',)
    """
    if max_entries < 1:
        raise ValueError(f"check_gradients: max_entries={max_entries} must be at least 1.")
    if isinstance(modes, str) or not modes or not set(modes) <= set(get_args(Mode)):
        raise ValueError(
            f"check_gradients: modes={modes!r} must be a sequence of 'reverse', 'forward', or both, such as "
            f"('reverse',)."
        )
    with jax.enable_x64(True):
        return _Checker(f, args, rtol=rtol, max_entries=max_entries, seed=seed).check(modes)


class _Checker:
    """The check of one function at one point."""

    def __init__(
        self, f: Callable[..., Any], args: Sequence[Any], *, rtol: float | None, max_entries: int, seed: int
    ) -> None:
        paths, self.structure = jax.tree.flatten_with_path(tuple(args))
        self.leaves = [leaf if _is_key(leaf) else jnp.asarray(leaf) for _, leaf in paths]
        self.names = [f"argument {path[0].idx}{jax.tree_util.keystr(path[1:])}" for path, _ in paths]
        self.floating = [
            place
            for place, leaf in enumerate(self.leaves)
            if not _is_key(leaf) and jnp.issubdtype(leaf.dtype, jnp.floating)
        ]
        if not self.floating:
            raise TypeError("check_gradients: no argument has floating entries, so there is no gradient to check.")
        for place in self.floating:
            self.leaves[place] = self.leaves[place].astype(jnp.float64)
        self.f, self.max_entries, self.generator = f, max_entries, np.random.default_rng(seed)
        program, outputs = jax.make_jaxpr(self._outputs, return_shape=True)(
            [self.leaves[place] for place in self.floating]
        )
        if not outputs:
            raise TypeError("check_gradients: the function has no floating result, so there is no gradient to check.")
        self.weights = [jnp.asarray(self.generator.uniform(0.5, 1.5, each.shape)) for each in outputs]
        self.eps = max(
            float(jnp.finfo(dtype).eps) for dtype in [*(each.dtype for each in outputs), *_narrowed_dtypes(program)]
        )
        self.rtol = rtol if rtol is not None else 1e-6 if self.eps < 1e-12 else 5e-4
        self.differences = [jax.jit(self._difference, static_argnums=0)] * len(self.floating)

    def _outputs(self, values: Sequence[jax.Array]) -> list[jax.Array]:
        leaves = list(self.leaves)
        for place, value in zip(self.floating, values, strict=True):
            leaves[place] = value
        found = jax.tree.leaves(self.f(*jax.tree.unflatten(self.structure, leaves)))
        return [each for each in map(jnp.asarray, found) if jnp.issubdtype(each.dtype, jnp.floating)]

    def _scalar(self, values: Sequence[jax.Array]) -> jax.Array:
        outputs = self._outputs(values)
        return sum((jnp.sum(c * y.astype(c.dtype)) for c, y in zip(self.weights, outputs, strict=True)), jnp.zeros(()))

    def _difference(
        self, which: int, values: Sequence[jax.Array], direction: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Derivatives from the right and from the left along a direction of one array, and the rounding error."""

        def at(offset: jax.Array) -> list[jax.Array]:
            moved = [value + offset * direction if place == which else value for place, value in enumerate(values)]
            return self._outputs(moved)

        # A loop: one copy of the program computes all three points, with the same rounding where nothing changes.
        outputs = jax.lax.map(at, jnp.stack([step, jnp.zeros(()), -step]))
        right = left = scale = jnp.zeros(())
        for c, each in zip(self.weights, outputs, strict=True):
            up, middle, down = each.astype(c.dtype)
            right, left = right + jnp.sum(c * (up - middle)), left + jnp.sum(c * (middle - down))
            # Results that do not change have no rounding error. The others may have larger intermediate values.
            changed = up != down
            scale = scale + jnp.sqrt(jnp.sum(jnp.where(changed, c * middle, 0.0) ** 2))
            scale = scale + jnp.where(jnp.any(changed), jnp.max(jnp.abs(c * middle), initial=0.0), 0.0)
        return right / step, left / step, 16 * self.eps * scale / step

    def check(self, modes: Sequence[Mode]) -> GradientCheck:
        values = [self.leaves[place] for place in self.floating]
        grads = jax.jit(jax.grad(self._scalar))(values) if "reverse" in modes else None
        checked, largest, where, kinks = 0, 0.0, "", []
        for which, place in enumerate(self.floating):
            value, name = values[which], self.names[place]
            entries = [] if grads is None else self._entries(value.size)
            for entry in entries:
                index = tuple(int(each) for each in np.unravel_index(entry, value.shape))
                label = name + (f"[{', '.join(map(str, index))}]" if index else "")
                direction = jnp.zeros(value.size).at[entry].set(1.0).reshape(value.shape)
                found = float(grads[which][index])  # type: ignore[index]
                relative, kink = self._compare(
                    which, values, direction, abs(float(value[index])), found, f"{label}: the gradient"
                )
                checked += 1
                kinks += [label] if kink else []
                if relative > largest:
                    largest, where = relative, label
            if "forward" in modes and value.size:
                direction = jnp.asarray(self.generator.standard_normal(value.shape))
                tangents = [direction if place == which else jnp.zeros_like(v) for place, v in enumerate(values)]
                found = float(jax.jit(lambda v, t: jax.jvp(self._scalar, (v,), (t,))[1])(values, tangents))
                label = f"{name}, along a random direction: the derivative of jax.jvp"
                self._compare(which, values, direction, float(jnp.abs(value).max()), found, label)
        return GradientCheck(checked=checked, largest=largest, where=where, kinks=tuple(kinks))

    def _entries(self, size: int) -> list[int]:
        if size <= self.max_entries:
            return list(range(size))
        return sorted(self.generator.choice(size, self.max_entries, replace=False).tolist())

    def _compare(
        self, which: int, values: Any, direction: jax.Array, magnitude: float, found: float, label: str
    ) -> tuple[float, bool]:
        """The relative difference, and whether the point is a kink.

        Raises:
            GradientError: the derivative is wrong.
        """
        least, kink, nearest = np.inf, True, 0.0
        for fraction in _FRACTIONS:
            step = jnp.asarray(fraction * self.eps ** (1 / 3) * max(magnitude, 1.0))
            right, left, rounding = map(float, self.differences[which](which, values, direction, step))
            numeric = (right + left) / 2
            tolerance = self.rtol * max(abs(found), abs(numeric))
            if fraction < 1 and rounding > 10 * tolerance:
                break  # such a difference would agree with a wrong derivative
            allowed = tolerance + rounding
            if abs(found - numeric) <= allowed:
                return max(abs(found - numeric) - rounding, 0.0) / max(abs(found), abs(numeric), 1e-300), False
            if not abs(found - numeric) >= least:  # also where it is NaN
                least, nearest = abs(found - numeric), numeric
            low, high = min(left, right), max(left, right)
            # On a smooth function the sides differ by a multiple of the step, and no wrong value is between them.
            kink = kink and high - low > 100 * allowed and low - allowed <= found <= high + allowed
        if kink:
            return 0.0, True
        difference = abs(found - nearest) / max(abs(found), abs(nearest), 1e-300)
        raise GradientError(
            f"check_gradients: {label} is {found:.10g}, but central differences give {nearest:.10g} (relative "
            f"difference {difference:.2g}, at most {self.rtol:.2g} is allowed)."
        )


def _narrowed_dtypes(program: Any) -> Iterator[Any]:
    """The floating dtypes to which operations of a program convert wider floating dtypes."""
    for equation in getattr(program, "jaxpr", program).eqns:
        if equation.primitive.name == "convert_element_type":
            old, new = equation.invars[0].aval.dtype, equation.params["new_dtype"]
            if jnp.issubdtype(old, jnp.floating) and jnp.issubdtype(new, jnp.floating) and new.itemsize < old.itemsize:
                yield new
        for value in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda each: hasattr(each, "eqns")):
            if hasattr(getattr(value, "jaxpr", value), "eqns"):
                yield from _narrowed_dtypes(value)


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
