"""The rule of ``jax.experimental.jet`` for the primitives here: Taylor coefficients of a product, by Leibniz.

JAX keeps its rules in the experimental module, which nobody else needs. So they are added when a convolution is bound
while that module is imported.
"""

import functools
import sys
from typing import Any

from jax.extend.core import Primitive

JET = "jax.experimental.jet"


def add_jet_rule(primitive: Primitive) -> None:
    """Makes a bilinear primitive known to ``jet``, if a program has imported it."""
    rules = getattr(sys.modules.get(JET), "jet_rules", None)
    if rules is not None and primitive not in rules:
        rules[primitive] = functools.partial(_bilinear_rule, primitive)


def _bilinear_rule(primitive: Primitive, primals: Any, series: Any, **params: Any) -> tuple[Any, list[Any]]:
    """``v[k] = sum over j of op(u[j], w[k - j])`` for series whose terms are divided by ``k!``, as within ``jet``."""
    (first, second), (first_terms, second_terms) = primals, series
    u, w = [first, *first_terms], [second, *second_terms]
    value, *terms = (
        functools.reduce(lambda a, b: a + b, [primitive.bind(u[j], w[k - j], **params) for j in range(k + 1)])
        for k in range(len(u))
    )
    return value, terms
