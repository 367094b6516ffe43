"""Sources of images, videos and series: decoded in memory, or streamed."""

from typing import TYPE_CHECKING

from jaxcnn._hints import install_hints
from jaxcnn.data._arrays import Dataset, Split
from jaxcnn.data._balance import balanced_weights, median_frequency_weights
from jaxcnn.data._batches import eval_batches, steps_per_epoch
from jaxcnn.data._coco import coco
from jaxcnn.data._folder_scan import FolderContents, scan_folder
from jaxcnn.data._hold_out import hold_out
from jaxcnn.data._images import read_image
from jaxcnn.data._in_memory import in_memory
from jaxcnn.data._label_maps import label_maps
from jaxcnn.data._load import load, names
from jaxcnn.data._moving_digits import moving_digits
from jaxcnn.data._polarity import holds_strokes, is_dark_on_light
from jaxcnn.data._scenes import digit_scenes
from jaxcnn.data._series import series
from jaxcnn.data._sources import read_video, stream
from jaxcnn.data._stream import Batch, Source, StreamedDataset, StreamedSplit
from jaxcnn.data._tfds import is_prepared
from jaxcnn.data._tfds_boxes import tfds_boxes
from jaxcnn.data._video_folder import video_folder
from jaxcnn.data._voc import voc

__all__ = [
    "Batch",
    "Dataset",
    "FolderContents",
    "Source",
    "Split",
    "StreamedDataset",
    "StreamedSplit",
    "balanced_weights",
    "coco",
    "digit_scenes",
    "eval_batches",
    "hold_out",
    "holds_strokes",
    "in_memory",
    "is_dark_on_light",
    "is_prepared",
    "label_maps",
    "load",
    "median_frequency_weights",
    "moving_digits",
    "names",
    "read_image",
    "read_video",
    "scan_folder",
    "series",
    "steps_per_epoch",
    "stream",
    "tfds_boxes",
    "video_folder",
    "voc",
]

if not TYPE_CHECKING:  # or type checkers would accept every name
    __getattr__ = install_hints(globals())
