"""Sources of the project, parsed once for all tests that read their imports."""

import ast
import functools


@functools.cache
def imports_of(source: str) -> tuple[ast.Import | ast.ImportFrom, ...]:
    """The import statements of a source, wherever in it they are."""
    return tuple(node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom))
