"""How many examples a property test draws where each is compiled: half of what it asks for, `.ci/run` more once."""

import os
from collections.abc import Callable

from hypothesis import settings

SHARE = float(os.environ.get("JAXCNN_EXAMPLES", "0.5"))


def examples(count: int) -> Callable:
    """The settings of a test that wants so many; ``JAXCNN_EXAMPLES`` is the share of them that is drawn."""
    return settings(max_examples=max(4, round(SHARE * count)), deadline=None)
