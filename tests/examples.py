"""How many examples a property test draws where each is compiled: 15 % of its count, in `.ci/run` once all."""

import os
from collections.abc import Callable

from hypothesis import settings

SHARE = float(os.environ.get("JAXCNN_EXAMPLES", "0.15"))


def examples(count: int) -> Callable:
    """Hypothesis settings for this number of examples, of which the share ``JAXCNN_EXAMPLES`` is drawn."""
    return settings(max_examples=max(4, round(SHARE * count)), deadline=None)
