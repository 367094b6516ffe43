"""Disables strict promotion, which Optax violates: it multiplies a float by an integer step."""

import pytest

from tests.kept_programs import keep_compiled  # noqa: F401

# The file imports the module next to it, as experiment files may; that folder is on the path only during loading.
collect_ignore = ["tiny_variants.py"]


@pytest.fixture(scope="module", autouse=True)
def strict_dtypes() -> None: ...
