"""The number of examples of property tests that compile each example: 15 % by default, all once in `.ci/run`."""

import os
from collections.abc import Callable

from hypothesis import settings

SHARE = float(os.environ.get("JAXCNN_EXAMPLES", "0.15"))


def examples(count: int) -> Callable:
    """Hypothesis settings for this number of examples, of which the fraction ``JAXCNN_EXAMPLES`` is drawn."""
    return settings(max_examples=max(4, round(SHARE * count)), deadline=None)
