"""Disables strict promotion, which Optax violates: it multiplies a float by an integer step."""

import pytest

from tests.kept_programs import keep_compiled  # noqa: F401


@pytest.fixture(scope="module", autouse=True)
def strict_dtypes() -> None: ...
