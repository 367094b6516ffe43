"""Optax raises a float to an integer step, which strict promotion refuses."""

import pytest

from tests.kept_programs import keep_compiled  # noqa: F401


@pytest.fixture(scope="module", autouse=True)
def strict_dtypes() -> None: ...
