"""Sources of images: decoded in memory, or streamed."""

from typing import TYPE_CHECKING

from jaxcnn._hints import install_hints
from jaxcnn.data.arrays import Dataset, Split
from jaxcnn.data.batches import steps_per_epoch
from jaxcnn.data.hold_out import hold_out
from jaxcnn.data.images import read_image
from jaxcnn.data.load import load, names
from jaxcnn.data.scenes import digit_scenes
from jaxcnn.data.sources import stream
from jaxcnn.data.stream import Source, StreamedDataset, StreamedSplit

__all__ = [
    "Dataset",
    "Source",
    "Split",
    "StreamedDataset",
    "StreamedSplit",
    "digit_scenes",
    "hold_out",
    "load",
    "names",
    "read_image",
    "steps_per_epoch",
    "stream",
]

if not TYPE_CHECKING:  # or type checkers would accept every name
    __getattr__ = install_hints(globals())
