"""The ``jaxcnn`` command: one file per verb."""

from jaxcnn.cli._main import main
from jaxcnn.cli._standard_output import silence_hooks

__all__ = ["main", "silence_hooks"]
