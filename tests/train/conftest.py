"""Optax raises a float to an integer step, which strict promotion refuses."""

import pytest

from tests.kept_programs import keep_compiled  # noqa: F401

# As experiment files may, it imports the module next to it, which is on the path only while it is loaded as one.
collect_ignore = ["tiny_variants.py"]


@pytest.fixture(scope="module", autouse=True)
def strict_dtypes() -> None: ...
