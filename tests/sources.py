"""The sources of the project, parsed once for all tests that read their imports."""

import ast
import functools


@functools.cache
def imports_of(source: str) -> tuple[ast.Import | ast.ImportFrom, ...]:
    """The import statements anywhere in a source."""
    return tuple(node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom))
