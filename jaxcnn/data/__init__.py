"""Sources of images, decoded in memory."""

from jaxcnn.data.arrays import Dataset, Split
from jaxcnn.data.batches import steps_per_epoch
from jaxcnn.data.images import read_image
from jaxcnn.data.load import load, names

__all__ = ["Dataset", "Split", "load", "names", "read_image", "steps_per_epoch"]
