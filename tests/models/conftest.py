from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def strict_dtypes() -> Iterator[None]:
    """Optax mixes dtypes."""
    yield
