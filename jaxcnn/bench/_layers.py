"""Descriptions of what is measured: a convolution, a pool, a norm, a training step."""

import dataclasses
from typing import Literal

from jaxcnn._geometry import ConvGeometry, Padding, conv_geometry

Kind = Literal["conv", "pool", "norm", "step"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConvLayer:
    """A convolution; each derivative is measured separately.

    Attributes:
        name: of the entry.
        about: the network and the layer that it is from.
        x_shape: shape of the input.
        kernel_shape: shape of the kernel.
        strides: as in ``functional.conv``.
        padding: as in ``functional.conv``.
        input_dilation: as in ``functional.conv``; the convolution is then a transposed one with this stride.
        kernel_dilation: as in ``functional.conv``.
        groups: the ``feature_group_count``.
        kind: ``"conv"``.
    """

    name: str
    about: str
    x_shape: tuple[int, ...]
    kernel_shape: tuple[int, ...]
    strides: int = 1
    padding: Padding = "SAME"
    input_dilation: int = 1
    kernel_dilation: int = 1
    groups: int = 1

    kind: Kind = dataclasses.field(default="conv", init=False)
    operations = ("forward", "input_grad", "kernel_grad")

    @property
    def options(self) -> dict:
        """The options of ``jaxcnn.functional.conv``."""
        return {
            "strides": self.strides,
            "padding": self.padding,
            "input_dilation": self.input_dilation,
            "kernel_dilation": self.kernel_dilation,
            "feature_group_count": self.groups,
        }

    @property
    def geometry(self) -> ConvGeometry:
        """The geometry of the convolution."""
        return conv_geometry(self.x_shape, self.kernel_shape, **self.options)

    @property
    def family(self) -> str:
        """``"depthwise"``, ``"grouped"`` or ``"dense"``."""
        if self.groups == 1:
            return "dense"
        return "depthwise" if self.groups == self.x_shape[-1] else "grouped"


@dataclasses.dataclass(frozen=True, kw_only=True)
class PoolLayer:
    """A pool with a square window, measured forward, and with the gradient.

    Attributes:
        name: of the entry.
        about: the network and the layer that it is from.
        x_shape: shape of the input.
        maximum: whether it is the maximum; the average otherwise.
        window: side of the window.
        strides: as in ``functional.max_pool``.
        padding: as in ``functional.max_pool``.
        after_norm: whether batch norm and ReLU precede it.
        kind: ``"pool"``.

    >>> PoolLayer(name="max2", about="", x_shape=(8, 32, 32, 64), maximum=True, window=2, strides=2).family
    'max pool'
    """

    name: str
    about: str
    x_shape: tuple[int, ...]
    maximum: bool
    window: int
    strides: int
    padding: int = 0
    after_norm: bool = False

    kind: Kind = dataclasses.field(default="pool", init=False)
    operations = ("forward", "forward_backward")

    @property
    def family(self) -> str:
        """The kind of pool, and whether a batch norm precedes it."""
        return ("max pool" if self.maximum else "average pool") + (" after batch norm" if self.after_norm else "")


@dataclasses.dataclass(frozen=True, kw_only=True)
class NormLayer:
    """Batch normalisation in training, measured forward, and with the gradient.

    Attributes:
        name: of the entry.
        about: the network and the layer that it is from.
        x_shape: shape of the input.
        kind: ``"norm"``.
    """

    name: str
    about: str
    x_shape: tuple[int, ...]

    kind: Kind = dataclasses.field(default="norm", init=False)
    operations = ("forward", "forward_backward")
    family = "batch norm"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step:
    """A training step of a whole network: loss, gradients, and an update by SGD with momentum.

    Attributes:
        name: of the entry.
        about: the network and its batch.
        x_shape: shape of the batch of images.
        num_classes: the number of classes.
        kind: ``"step"``.

    >>> Step(name="resnet20", about="", x_shape=(64, 32, 32, 3)).operations
    ('step',)
    """

    name: str
    about: str
    x_shape: tuple[int, ...]
    num_classes: int = 10

    kind: Kind = dataclasses.field(default="step", init=False)
    operations = ("step",)
    family = "training step"


Layer = ConvLayer | PoolLayer | NormLayer | Step


@dataclasses.dataclass(frozen=True)
class Entry:
    """One operation of one layer: one line of the report.

    >>> str(Entry(NormLayer(name="norm64", about="", x_shape=(8, 56, 56, 64)), "forward"))
    'norm64 forward'
    """

    layer: Layer
    operation: str

    def __str__(self) -> str:
        return f"{self.layer.name} {self.operation}"
