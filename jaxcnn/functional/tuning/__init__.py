"""Algorithms by measurement: the operations that ``jaxcnn bench --tune`` measures, and the tables that it writes."""

from typing import TYPE_CHECKING

from jaxcnn._hints import install_hints
from jaxcnn.functional._engine import TABLE_FORMAT, read_table, this_machine
from jaxcnn.functional.tuning._operations import ConvOperation, conv_operation, conv_operations
from jaxcnn.functional.tuning._switch import use_tuning

__all__ = [
    "TABLE_FORMAT",
    "ConvOperation",
    "conv_operation",
    "conv_operations",
    "read_table",
    "this_machine",
    "use_tuning",
]

if not TYPE_CHECKING:  # or type checkers would accept every name
    __getattr__ = install_hints(globals())
