"""Faster R-CNN: a backbone, proposals, and a head for regions, as one module with methods for use and for training."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jax.typing import DTypeLike

from jaxcnn._arrays import ArrayLike, as_array
from jaxcnn._errors import ShapeError, check_choice
from jaxcnn.functional import anchors, encode_boxes, pyramid_roi_align, roi_align, roi_pool
from jaxcnn.models._faster_rcnn._backbones import ResNetPyramid
from jaxcnn.models._faster_rcnn._heads import DenseHead, Predictor, ProposalHead
from jaxcnn.models._faster_rcnn._losses import proposal_losses, region_losses
from jaxcnn.models._faster_rcnn._select import Boxes, Four, detect, propose
from jaxcnn.models._faster_rcnn._targets import sample_anchors, sample_regions, valid_boxes
from jaxcnn.models._layers import as_images

Maps = list[jax.Array]
RegionPooling = Literal["align", "max"]


class FasterRCNN(nn.Module):
    """A two-stage detector: proposals from anchors, and a class and a box for each proposal.

    ``model.apply(variables, x)`` returns ``boxes`` ``(*batch, max_detections, 4)`` in pixels, ``labels``, ``scores``
    and ``mask``, ``(*batch, max_detections)``, by descending score; entries are zeros where the mask is False. Class 0
    is the background and no label of a detection. All shapes are static: one compiled program fits all images of a
    size. ``method="proposals"`` returns the boxes of the first stage, ``method="losses"`` the four losses of training,
    and ``method="features"`` the maps of the backbone.

    Images of different sizes form one batch, padded at the bottom and at the right, with their true ``image_sizes``:
    pixels beyond them are set to zero, and boxes are clipped to them. Without batch statistics the
    detections of an image do not depend on the other images of the batch.

    The defaults are those of torchvision's ``fasterrcnn_resnet50_fpn``, in inference and in training.

    Args:
        num_classes: number of classes, background included.
        dtype: type of the layers; parameters, boxes and scores stay float32.
        backbone: creates the backbone: a module that is called with images ``(batch, height, width, channels)`` and
            ``train``, and returns a list of maps from fine to coarse with equal numbers of channels.
        head: creates the head: a module that is called with regions ``(batch, n, pool_size, pool_size, channels)`` and
            ``train``, and returns vectors ``(batch, n, units)``.
        anchor_sizes: of each map, the sizes of its anchors.
        anchor_ratios: heights over widths of the anchors.
        anchor_offset: of the anchors' centres in a position, as in ``functional.anchors``.
        crossing_anchors: whether anchors that cross the border of the image are trained.
        size_divisor: images are padded to multiples of it, so that the maps fit each other.
        pooled_maps: number of maps, from the first, that regions are read from.
        pooling: of regions, ``"align"`` or, from one map, ``"max"``.
        pool_size: height and width of a region that the head reads.
        sampling_ratio: of ``"align"``.
        canonical_size: side of the regions that are read from the map of stride 16, as in
            ``functional.pyramid_roi_align``.
        candidates: in training and in inference, the number of anchors of each map that are compared.
        max_proposals: in training and in inference, the number of proposals of an image.
        proposal_nms_threshold: greater overlaps drop a proposal.
        anchor_thresholds: anchors are trained as background below the first overlap, as objects from the second on.
        anchor_samples: anchors of an image that a step is trained on.
        anchor_positive_share: largest fraction of anchors of objects among them.
        region_threshold: regions are trained for the class of a box from this overlap on, else as background.
        region_samples: regions of an image that a step is trained on.
        region_positive_share: largest fraction of regions of objects among them.
        box_weights: of the encoded boxes of the second stage.
        score_threshold: detections have a greater probability.
        nms_threshold: greater overlaps drop a detection of the same class.
        max_detections: number of detections of an image.

    Source: Ren, He, Girshick and Sun (2015), "Faster R-CNN"; Lin et al. (2017), "Feature pyramid networks".

    >>> from jaxcnn.models import create
    >>> model, x = create("fasterrcnn_resnet50_fpn"), jnp.zeros((1, 128, 128, 3))
    >>> variables = jax.eval_shape(model.init, jax.random.key(0), x)
    >>> sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    41755286
    """

    num_classes: int = 91
    dtype: DTypeLike | None = None
    backbone: Callable[..., nn.Module] = ResNetPyramid
    head: Callable[..., nn.Module] = DenseHead
    anchor_sizes: Sequence[Sequence[float]] = ((32,), (64,), (128,), (256,), (512,))
    anchor_ratios: Sequence[float] = (0.5, 1.0, 2.0)
    anchor_offset: float = 0.0
    crossing_anchors: bool = True
    size_divisor: int = 32
    pooled_maps: int = 4
    pooling: RegionPooling = "align"
    pool_size: int = 7
    sampling_ratio: int = 2
    canonical_size: float = 224.0
    candidates: tuple[int, int] = (2000, 1000)
    max_proposals: tuple[int, int] = (2000, 1000)
    proposal_nms_threshold: float = 0.7
    anchor_thresholds: tuple[float, float] = (0.3, 0.7)
    anchor_samples: int = 256
    anchor_positive_share: float = 0.5
    region_threshold: float = 0.5
    region_samples: int = 512
    region_positive_share: float = 0.25
    box_weights: Four = (10.0, 10.0, 5.0, 5.0)
    score_threshold: float = 0.05
    nms_threshold: float = 0.5
    max_detections: int = 100

    def setup(self) -> None:
        check_choice(self.pooling, get_args(RegionPooling), name="pooling")
        if self.num_classes < 2:
            raise ValueError(f"num_classes={self.num_classes} must be at least 2: the background and one class.")
        if self.pooling == "max" and self.pooled_maps != 1:
            raise ValueError(f"pooling='max' reads one map, but pooled_maps={self.pooled_maps}.")
        if len({len(sizes) for sizes in self.anchor_sizes}) != 1:
            raise ValueError(f"anchor_sizes={self.anchor_sizes} must have as many sizes for each map as for any other.")
        of_position = len(self.anchor_sizes[0]) * len(self.anchor_ratios)
        self.backbone_module = self.backbone(dtype=self.dtype, name="backbone")
        self.anchor_head = ProposalHead(of_position, dtype=self.dtype, name="rpn")
        self.head_module = self.head(dtype=self.dtype, name="head")
        self.predictor = Predictor(self.num_classes, dtype=self.dtype)

    def __call__(self, x: jax.Array, train: bool = False, *, image_sizes: ArrayLike | None = None) -> Boxes:
        """The detections of images.

        Args:
            x: ``(*batch, height, width, channels)``.
            train: whether batch norms and dropout are those of training.
            image_sizes: ``(*batch, 2)``, heights and widths without padding; by default those of ``x``.
        """
        images, sizes, batch = self._images(x, image_sizes)
        maps = self._maps(images, train)
        found = self._propose(maps, images, sizes, training=False)[0]
        logits, deltas = self._predict(maps, images, found["boxes"], train)
        detections = detect(
            logits,
            deltas,
            found["boxes"],
            found["mask"],
            sizes,
            weights=self.box_weights,
            score_threshold=self.score_threshold,
            nms_threshold=self.nms_threshold,
            count=self.max_detections,
        )
        return _with_batch_axes(detections, batch)

    def features(self, x: jax.Array, train: bool = False) -> dict[str, jax.Array]:
        """The maps of the backbone, ``map1`` and so on, from fine to coarse."""
        images, _, batch = self._images(x, None)
        maps = self._maps(images, train)
        return _with_batch_axes({f"map{index}": each for index, each in enumerate(maps, 1)}, batch)

    def proposals(self, x: jax.Array, train: bool = False, *, image_sizes: ArrayLike | None = None) -> Boxes:
        """The proposals of images in inference: ``boxes``, ``scores`` and ``mask``.

        Args:
            x: as in the call of the model.
            train: as in the call of the model.
            image_sizes: as in the call of the model.
        """
        images, sizes, batch = self._images(x, image_sizes)
        return _with_batch_axes(self._propose(self._maps(images, train), images, sizes, training=False)[0], batch)

    def losses(
        self,
        x: jax.Array,
        boxes: ArrayLike,
        labels: ArrayLike,
        train: bool = True,
        *,
        mask: ArrayLike | None = None,
        image_sizes: ArrayLike | None = None,
    ) -> dict[str, jax.Array]:
        """The four losses of training, ``(*batch,)`` each: ``objectness``, ``rpn_boxes``, ``classes`` and ``boxes``.

        Their means over the batch are the losses of torchvision, which are added. Anchors and regions are drawn with
        the rng ``sampling``. Proposals have no gradient.

        Args:
            x: ``(*batch, height, width, channels)``.
            boxes: ``(*batch, m, 4)`` as ``(x0, y0, x1, y1)`` in pixels, padded to ``m`` boxes. Boxes without area and
                inverted boxes are left out like padding. In an image without boxes all anchors and regions are
                background.
            labels: ``(*batch, m)``, integers from 1.
            train: whether batch norms and dropout are those of training.
            mask: booleans ``(*batch, m)``, False for padding; by default ``labels > 0``.
            image_sizes: as in the call of the model.
        """
        images, sizes, batch = self._images(x, image_sizes)
        truth, classes, exists = self._truth(boxes, labels, mask, batch, len(images))
        maps = self._maps(images, train)
        found, logits, deltas, anchor_boxes = self._propose(maps, images, sizes, training=True)
        keys = jax.random.split(self.make_rng("sampling"), (2, len(images)))
        draw = functools.partial(
            sample_anchors,
            thresholds=self.anchor_thresholds,
            count=self.anchor_samples,
            positive_share=self.anchor_positive_share,
            crossing=self.crossing_anchors,
        )
        chosen = jax.vmap(draw, (0, None, 0, 0, 0))(keys[0], anchor_boxes, truth, exists, sizes)
        first = proposal_losses(
            jnp.take_along_axis(logits, chosen.place, 1),
            jnp.take_along_axis(deltas, chosen.place[..., None], 1),
            chosen.label,
            encode_boxes(chosen.box, anchor_boxes[chosen.place]),
            chosen.weight,
        )
        # True boxes are regions too, so that there are regions of objects before the proposals are good.
        regions = jnp.concatenate([found["boxes"], truth], 1)
        draw = functools.partial(
            sample_regions,
            threshold=self.region_threshold,
            count=self.region_samples,
            positive_share=self.region_positive_share,
        )
        there = jnp.concatenate([found["mask"], exists], 1)
        chosen = jax.vmap(draw)(keys[1], regions, there, truth, classes, exists)
        regions = jnp.take_along_axis(regions, chosen.place[..., None], 1)
        class_logits, class_deltas = self._predict(maps, images, regions, train)
        targets = encode_boxes(chosen.box, regions, weights=self.box_weights)
        second = region_losses(class_logits, class_deltas, chosen.label, targets, chosen.weight)
        return _with_batch_axes(first | second, batch)

    def _images(self, x: Any, image_sizes: Any) -> tuple[jax.Array, jax.Array, tuple[int, ...]]:
        """Images with one batch axis and zeros where they are padded, their true sizes, and the batch axes."""
        x = as_images(x)
        batch, (height, width, channels) = x.shape[:-3], x.shape[-3:]
        count = math.prod(batch)
        images = x.reshape(count, height, width, channels)
        if image_sizes is None:
            sizes = jnp.broadcast_to(jnp.array([height, width], jnp.int32), (count, 2))
        else:
            sizes = as_array(image_sizes, name="image_sizes")
            if sizes.shape != (*batch, 2):
                raise ShapeError(
                    f"image_sizes must be (height, width) of each image, {(*batch, 2)}, not of the shape {sizes.shape}."
                )
            sizes = sizes.reshape(count, 2)
            rows = jnp.arange(height)[None, :] < sizes[:, :1]
            columns = jnp.arange(width)[None, :] < sizes[:, 1:]
            inside = rows[:, :, None, None] & columns[:, None, :, None]
            images = jnp.where(inside, images, jnp.zeros_like(images))
        more = [(0, -side % self.size_divisor) for side in (height, width)]
        return jnp.pad(images, ((0, 0), *more, (0, 0))), sizes, batch

    def _truth(
        self, boxes: Any, labels: Any, mask: Any, batch: tuple[int, ...], count: int
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Boxes, classes, and the mask of the boxes to train on, with one batch axis and at least one entry."""
        truth, classes = as_array(boxes, name="boxes"), as_array(labels, name="labels")
        exists = classes > 0 if mask is None else as_array(mask, name="mask").astype(bool)
        if truth.shape != (*classes.shape, 4) or classes.shape[:-1] != batch or exists.shape != classes.shape:
            raise ShapeError(
                f"boxes, labels and mask must have the shapes (*batch, m, 4), (*batch, m) and (*batch, m) with the "
                f"batch axes {batch} of the images, not {truth.shape}, {classes.shape} and {exists.shape}."
            )
        number = classes.shape[-1]
        truth = lax.stop_gradient(truth.astype(jnp.float32)).reshape(count, number, 4)
        classes, exists = (each.reshape(count, number) for each in (classes.astype(jnp.int32), exists))
        if number == 0:
            truth, classes, exists = (
                jnp.zeros((count, 1, 4)),
                jnp.zeros((count, 1), jnp.int32),
                jnp.zeros((count, 1), bool),
            )
        return truth, classes, valid_boxes(truth, exists)

    def _maps(self, images: jax.Array, train: bool) -> Maps:
        maps: Maps = list(self.backbone_module(images, train))
        if len(maps) != len(self.anchor_sizes) or len(maps) < self.pooled_maps:
            raise ShapeError(
                f"the backbone gives {len(maps)} maps, but there are anchor_sizes for {len(self.anchor_sizes)} and "
                f"regions are read from {self.pooled_maps}."
            )
        return maps

    def _propose(
        self, maps: Maps, images: jax.Array, sizes: jax.Array, *, training: bool
    ) -> tuple[Boxes, jax.Array, jax.Array, jax.Array]:
        """The proposals, and logits, encoded boxes and anchors of all maps."""
        logits, deltas = self.anchor_head(maps)
        anchor_boxes = [
            anchors(
                each.shape[1:3],
                strides=(images.shape[1] // each.shape[1], images.shape[2] // each.shape[2]),
                sizes=sizes_of_map,
                ratios=self.anchor_ratios,
                offset=self.anchor_offset,
            )
            for each, sizes_of_map in zip(maps, self.anchor_sizes, strict=True)
        ]
        which = 0 if training else 1
        found = propose(
            logits,
            deltas,
            anchor_boxes,
            sizes,
            candidates=self.candidates[which],
            count=self.max_proposals[which],
            nms_threshold=self.proposal_nms_threshold,
        )
        return found, jnp.concatenate(logits, 1), jnp.concatenate(deltas, 1), jnp.concatenate(anchor_boxes)

    def _predict(self, maps: Maps, images: jax.Array, regions: jax.Array, train: bool) -> tuple[jax.Array, jax.Array]:
        """Logits and encoded boxes of regions ``(batch, n, 4)``."""
        used = maps[: self.pooled_maps]
        strides = [2 ** round(math.log2(images.shape[1] / each.shape[1])) for each in used]
        size = (self.pool_size, self.pool_size)
        if self.pooling == "max":
            pooled = roi_pool(used[0], regions, output_size=size, spatial_scale=1 / strides[0])
        elif len(used) == 1:
            pooled = roi_align(
                used[0],
                regions,
                output_size=size,
                spatial_scale=1 / strides[0],
                sampling_ratio=self.sampling_ratio,
                aligned=False,
            )
        else:
            pooled = pyramid_roi_align(
                used,
                regions,
                strides=strides,
                output_size=size,
                sampling_ratio=self.sampling_ratio,
                aligned=False,
                canonical_size=self.canonical_size,
            )
        logits, deltas = self.predictor(self.head_module(pooled, train))
        return logits, deltas


def _with_batch_axes(arrays: dict[str, jax.Array], batch: tuple[int, ...]) -> dict[str, jax.Array]:
    """The arrays with the batch axes of the images in place of the first axis."""
    return {name: array.reshape(*batch, *array.shape[1:]) for name, array in arrays.items()}
