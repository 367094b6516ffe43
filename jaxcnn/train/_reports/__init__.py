"""The output of a run while it trains: progress and warnings."""

from jaxcnn.train._reports._notebook import NotebookProgress, in_notebook
from jaxcnn.train._reports._progress import ConsoleProgress, Progress, new_console
from jaxcnn.train._reports._warnings_log import log, warnings_kept

__all__ = [
    "ConsoleProgress",
    "NotebookProgress",
    "Progress",
    "in_notebook",
    "log",
    "new_console",
    "warnings_kept",
]
