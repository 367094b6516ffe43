"""Pictures of runs, drawn without a display: learning curves, confusion matrices, misclassified images and others."""

from typing import TYPE_CHECKING

from jaxcnn._hints import install_hints
from jaxcnn.vis._augmentations import augmentations, augmentations_figure, draw_augmentations
from jaxcnn.vis._bench import bench_figure, draw_bench
from jaxcnn.vis._boxes import boxes_figure, draw_boxes
from jaxcnn.vis._comparison import comparison_figure, draw_comparison
from jaxcnn.vis._confusion import confusion_figure, draw_confusion
from jaxcnn.vis._contact_sheet import contact_sheet
from jaxcnn.vis._curves import curves_figure, draw_curves
from jaxcnn.vis._detection_curves import (
    class_bars_figure,
    detection_curves_figure,
    draw_class_bars,
    draw_detection_curves,
)
from jaxcnn.vis._explanation import draw_explanation, explanation_figure
from jaxcnn.vis._flow import flow_to_color
from jaxcnn.vis._graph import draw_graph, graph_figure
from jaxcnn.vis._mistakes import draw_mistakes, mistakes_figure
from jaxcnn.vis._neighbours import draw_neighbours, neighbours_figure
from jaxcnn.vis._panels import Panel, draw_panels, panels_figure
from jaxcnn.vis._predictions import draw_predictions, predictions_figure
from jaxcnn.vis._receptive_fields import draw_receptive_fields, receptive_fields_figure
from jaxcnn.vis._segmentation import class_colours, draw_segmentation, segmentation_figure
from jaxcnn.vis._sweep import draw_sweep, sweep_figure
from jaxcnn.vis._units import (
    draw_feature_maps,
    draw_kernels,
    draw_units,
    feature_maps_figure,
    kernels_figure,
    units_figure,
)
from jaxcnn.vis._value_graph import GraphEdge, GraphNode, ValueGraph, value_graph

__all__ = [
    "GraphEdge",
    "GraphNode",
    "Panel",
    "ValueGraph",
    "augmentations",
    "augmentations_figure",
    "bench_figure",
    "boxes_figure",
    "class_bars_figure",
    "class_colours",
    "comparison_figure",
    "confusion_figure",
    "contact_sheet",
    "curves_figure",
    "detection_curves_figure",
    "draw_augmentations",
    "draw_bench",
    "draw_boxes",
    "draw_class_bars",
    "draw_comparison",
    "draw_confusion",
    "draw_curves",
    "draw_detection_curves",
    "draw_explanation",
    "draw_feature_maps",
    "draw_graph",
    "draw_kernels",
    "draw_mistakes",
    "draw_neighbours",
    "draw_panels",
    "draw_predictions",
    "draw_receptive_fields",
    "draw_segmentation",
    "draw_sweep",
    "draw_units",
    "explanation_figure",
    "feature_maps_figure",
    "flow_to_color",
    "graph_figure",
    "kernels_figure",
    "mistakes_figure",
    "neighbours_figure",
    "panels_figure",
    "predictions_figure",
    "receptive_fields_figure",
    "segmentation_figure",
    "sweep_figure",
    "units_figure",
    "value_graph",
]

if not TYPE_CHECKING:  # or type checkers would accept every name
    __getattr__ = install_hints(globals())
