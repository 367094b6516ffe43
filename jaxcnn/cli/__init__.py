"""The ``jaxcnn`` command: one file per verb."""

from jaxcnn.cli.main import main

__all__ = ["main"]
