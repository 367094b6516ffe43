"""Checkpoints: saving, verified reading, and the record of the run in each checkpoint."""

from jaxcnn.train._checkpoints._checksums import check_seal, named_leaves, seal
from jaxcnn.train._checkpoints._provenance import provenance
from jaxcnn.train._checkpoints._reading import (
    KEPT,
    KINDS,
    CheckpointKind,
    read_kept,
    read_newest,
    read_variables,
    restore,
    resume,
    saved,
)
from jaxcnn.train._checkpoints._saving import Checkpoints, open_checkpoints

__all__ = [
    "KEPT",
    "KINDS",
    "CheckpointKind",
    "Checkpoints",
    "check_seal",
    "named_leaves",
    "open_checkpoints",
    "provenance",
    "read_kept",
    "read_newest",
    "read_variables",
    "restore",
    "resume",
    "saved",
    "seal",
]
