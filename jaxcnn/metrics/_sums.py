"""Sums that are accumulated batch by batch without losing digits."""

import dataclasses

import jax
import jax.numpy as jnp

from jaxcnn._errors import ShapeError


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Sum:
    """An array of sums, each as a rounded sum and the sum of its rounding errors.

    A float32 that has reached 2**24 does not change when 1 is added. With the errors the sum of integers is exact up to
    2**48 as long as what is added at once is exact. Sums of several devices are added with ``jax.lax.psum``.

    Attributes:
        rounded: the sum, rounded at each addition.
        error: the sum of the rounding errors.
    """

    rounded: jax.Array
    error: jax.Array

    @classmethod
    def zeros(cls, shape: tuple[int, ...]) -> "Sum":
        """Sums of nothing, in JAX's default floating type."""
        return cls(jnp.zeros(shape), jnp.zeros(shape))

    def add(self, terms: jax.Array) -> "Sum":
        """The sums with one more term each, by Knuth's two-sum."""
        old, terms = self.rounded, terms.astype(self.rounded.dtype)
        new = old + terms
        part = new - old
        lost = (old - (new - part)) + (terms - part)
        # An infinity or NaN is kept in the sum; its rounding error would be NaN.
        return Sum(new, self.error + jnp.where(jnp.isfinite(new), lost, 0))

    def merge(self, other: "Sum") -> "Sum":
        """The sums of both.

        Raises:
            ShapeError: sums of another shape, which might be broadcast.
        """
        if other.rounded.shape != self.rounded.shape:
            raise ShapeError(
                f"states of the shapes {self.rounded.shape} and {other.rounded.shape} cannot be merged: they have "
                f"other numbers of classes or bins."
            )
        added = self.add(other.rounded)
        return Sum(added.rounded, added.error + other.error)

    def value(self) -> jax.Array:
        """The sums as plain numbers."""
        return self.rounded + self.error
