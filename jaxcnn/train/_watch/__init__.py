"""Watching a run: callbacks, which are given records and cannot change it, and those that write them somewhere."""

from jaxcnn.train._watch._callback import Callback, RunInfo
from jaxcnn.train._watch._watchers import Watchers, check_callbacks

__all__ = ["Callback", "RunInfo", "Watchers", "check_callbacks"]
