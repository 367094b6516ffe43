"""Pictures of runs, made without a display: curves, confusions, and the images a model gets wrong."""

from typing import TYPE_CHECKING

from jaxcnn._hints import install_hints
from jaxcnn.vis.augmentations import augmentations_figure, draw_augmentations
from jaxcnn.vis.confusion import confusion_figure, confusion_matrix, draw_confusion
from jaxcnn.vis.contact_sheet import contact_sheet
from jaxcnn.vis.curves import curves_figure, draw_curves
from jaxcnn.vis.mistakes import draw_mistakes, mistakes_figure
from jaxcnn.vis.panels import Panel, draw_panels, panels_figure
from jaxcnn.vis.receptive_fields import draw_receptive_fields, receptive_fields_figure
from jaxcnn.vis.segmentation import draw_segmentation, segmentation_figure
from jaxcnn.vis.sweep import draw_sweep, sweep_figure

__all__ = [
    "Panel",
    "augmentations_figure",
    "confusion_figure",
    "confusion_matrix",
    "contact_sheet",
    "curves_figure",
    "draw_augmentations",
    "draw_confusion",
    "draw_curves",
    "draw_mistakes",
    "draw_panels",
    "draw_receptive_fields",
    "draw_segmentation",
    "draw_sweep",
    "mistakes_figure",
    "panels_figure",
    "receptive_fields_figure",
    "segmentation_figure",
    "sweep_figure",
]

if not TYPE_CHECKING:  # or type checkers would accept every name
    __getattr__ = install_hints(globals())
