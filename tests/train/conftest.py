"""Optax raises a float to an integer step, which strict promotion refuses."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def strict_dtypes() -> None: ...
