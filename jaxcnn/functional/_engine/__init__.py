"""The engine of convolutions: from a ``ConvPlan`` to the algorithm that computes it.

To understand ``functional.conv``, read these files in this order:

1. ``functional/_conv.py``: the public function, which makes a plan.
2. ``_geometry/_conv.py``: the shapes and options in integers.
3. ``_plan.py``: ``ConvPlan``, the geometry with all options, and the operation that an algorithm is given.
4. ``_operations.py``: padding, flip and conversion around the primitives.
5. ``_primitives.py``: the two primitives, with their differentiation and their lowering.
6. ``_choose.py``: ``choose`` selects the algorithm, ``compute`` runs it.
7. ``_algorithms/_algorithm.py``: what an algorithm provides.
8. one algorithm, such as ``_algorithms/_xla.py``.

``_batching.py`` has the rules of ``vmap``, ``_lax_rule.py`` the rule of JAX that ``accelerate`` replaces,
``_tables.py`` the tables of ``jaxcnn bench --tune``, ``_explanation.py`` the values that ``explain_conv`` returns.
Modules here import each other downwards only: operations, primitives, choose, tables, algorithms, plan.
"""

from jaxcnn.functional._engine._algorithms import ALGORITHMS, MEASURED_ALGORITHMS
from jaxcnn.functional._engine._choose import PLATFORMS, Platform, choose
from jaxcnn.functional._engine._explanation import ConvCandidate, ConvChoice, ConvExplanation
from jaxcnn.functional._engine._lax_rule import replace_rule, restore_rule, xla_rule
from jaxcnn.functional._engine._operations import check_algorithm, compute_conv, compute_input_grad, compute_kernel_grad
from jaxcnn.functional._engine._plan import (
    OPERATIONS,
    BaseOperation,
    ConvPlan,
    Operation,
    Partitioned,
    plan_conv,
    task_of,
)
from jaxcnn.functional._engine._primitives import conv_p, kernel_grad_p
from jaxcnn.functional._engine._tables import TABLE_FORMAT, key, read_table, set_table, this_machine

__all__ = [
    "ALGORITHMS",
    "MEASURED_ALGORITHMS",
    "OPERATIONS",
    "PLATFORMS",
    "TABLE_FORMAT",
    "BaseOperation",
    "ConvCandidate",
    "ConvChoice",
    "ConvExplanation",
    "ConvPlan",
    "Operation",
    "Partitioned",
    "Platform",
    "check_algorithm",
    "choose",
    "compute_conv",
    "compute_input_grad",
    "compute_kernel_grad",
    "conv_p",
    "kernel_grad_p",
    "key",
    "plan_conv",
    "read_table",
    "replace_rule",
    "restore_rule",
    "set_table",
    "task_of",
    "this_machine",
    "xla_rule",
]
