"""The suite: layers of the networks that people train, by name, and five whole training steps."""

import fnmatch
from collections.abc import Collection, Iterable

from jaxcnn._hints import did_you_mean
from jaxcnn.bench._layers import ConvLayer, Entry, Layer, NormLayer, PoolLayer, Step

Shape = tuple[int, ...]


def _conv(name: str, about: str, x_shape: Shape, kernel_shape: Shape, **options: int | str) -> ConvLayer:
    return ConvLayer(name=name, about=about, x_shape=x_shape, kernel_shape=kernel_shape, **options)  # type: ignore


def _depthwise(name: str, about: str, x_shape: Shape, window: int, **options: int) -> ConvLayer:
    channels = x_shape[-1]
    return _conv(name, about, x_shape, (window, window, 1, channels), groups=channels, **options)


def _grouped(name: str, about: str, x_shape: Shape, window: int, out: int, groups: int, **options: int) -> ConvLayer:
    return _conv(name, about, x_shape, (window, window, x_shape[-1] // groups, out), groups=groups, **options)


DEPTHWISE = (
    _depthwise("dw3_128", "MobileNet 3x3", (8, 56, 56, 128), 3),
    _depthwise("dw3s2_128", "MobileNet 3x3, stride 2", (8, 56, 56, 128), 3, strides=2),
    _depthwise("dw3_96_N1", "MobileNetV2 3x3, one image", (1, 56, 56, 96), 3),
    _depthwise("dw3_384_N64", "MobileNetV2 3x3, batch 64", (64, 14, 14, 384), 3),
    _depthwise("dw3_144_mb", "MobileNetV2 at 96 px", (16, 24, 24, 144), 3),
    _depthwise("dw3_960_mb", "MobileNetV2 at 96 px, last", (16, 3, 3, 960), 3),
    _depthwise("dw3d2_128", "DeepLab 3x3, dilated by 2", (8, 28, 28, 128), 3, kernel_dilation=2),
    _depthwise("dw5_240", "EfficientNet 5x5", (8, 28, 28, 240), 5),
    _depthwise("dw5s2_240", "EfficientNet 5x5, stride 2", (8, 28, 28, 240), 5, strides=2),
    _depthwise("dw7_96", "ConvNeXt 7x7, stage 1", (8, 56, 56, 96), 7),
    _depthwise("dw7_384", "ConvNeXt 7x7, stage 3", (8, 14, 14, 384), 7),
    _depthwise("dw31_32", "RepLKNet 31x31", (8, 28, 28, 32), 31),
)
GROUPED = (
    _grouped("grp32_128", "ResNeXt 32x4d, stage 1", (8, 56, 56, 128), 3, 128, 32),
    _grouped("grp32_128_N1", "ResNeXt 32x4d, one image", (1, 56, 56, 128), 3, 128, 32),
    _grouped("grp32_256s2", "ResNeXt 32x4d, stride 2", (8, 56, 56, 256), 3, 256, 32, strides=2),
    _grouped("grp32_1024", "ResNeXt 32x4d, stage 4", (8, 7, 7, 1024), 3, 1024, 32),
    _grouped("grp4_64", "four groups of 16", (8, 56, 56, 64), 3, 64, 4),
    _grouped("grp2_alex", "AlexNet 5x5 over two GPUs", (8, 27, 27, 96), 5, 256, 2),
)
POINTWISE = (
    _conv("pw256_64", "ResNet bottleneck, down", (8, 56, 56, 256), (1, 1, 256, 64)),
    _conv("pw64_256", "ResNet bottleneck, up", (8, 56, 56, 64), (1, 1, 64, 256)),
    _conv("pw1024_256", "ResNet bottleneck, stage 3", (8, 14, 14, 1024), (1, 1, 1024, 256)),
    _conv("pw256_512s2", "ResNet shortcut, stride 2", (8, 56, 56, 256), (1, 1, 256, 512), strides=2),
    _conv("pw96_24_N1", "MobileNetV2, one image", (1, 56, 56, 96), (1, 1, 96, 24)),
    _conv("goog1_192", "GoogLeNet 1x1", (8, 28, 28, 192), (1, 1, 192, 64)),
)
FIRST_LAYERS = (
    _conv("lenet_a", "LeNet-5 C1, batch 128", (128, 28, 28, 1), (5, 5, 1, 6)),
    _conv("lenet_b", "LeNet-5 C3, batch 128", (128, 14, 14, 6), (5, 5, 6, 16), padding="VALID"),
    _conv("cifar3_64", "ResNet for CIFAR, stem", (64, 32, 32, 3), (3, 3, 3, 64)),
    _conv("whiten2x2", "speed run, whitening", (512, 32, 32, 3), (2, 2, 3, 24), padding="VALID"),
    _conv("stem7s2", "ResNet 7x7 stem", (8, 224, 224, 3), (7, 7, 3, 64), strides=2, padding=3),
    _conv("stem3s2", "MobileNetV2 stem at 96 px", (16, 96, 96, 3), (3, 3, 3, 32), strides=2, padding=1),
    _conv("alex11s4", "AlexNet 11x11 stem", (8, 224, 224, 3), (11, 11, 3, 64), strides=4, padding=2),
    _conv("patch4s4", "ConvNeXt patches", (8, 224, 224, 3), (4, 4, 3, 96), strides=4, padding="VALID"),
)
DENSE = (
    _conv("cifar_air64", "speed run, group 1 first", (512, 31, 31, 24), (3, 3, 24, 64)),
    _conv("air64_64", "speed run, group 1 second", (512, 15, 15, 64), (3, 3, 64, 64)),
    _conv("air64_256", "speed run, group 2 first", (512, 15, 15, 64), (3, 3, 64, 256)),
    _conv("air256", "speed run, group 2 second", (512, 7, 7, 256), (3, 3, 256, 256)),
    _conv("res64_cifar", "ResNet-18 for CIFAR", (64, 32, 32, 64), (3, 3, 64, 64)),
    _conv("vgg64", "VGG 3x3", (8, 56, 56, 64), (3, 3, 64, 64)),
    _conv("vgg64_N1", "VGG 3x3, one image", (1, 56, 56, 64), (3, 3, 64, 64)),
    _conv("res128", "ResNet 3x3, stage 2", (8, 28, 28, 128), (3, 3, 128, 128)),
    _conv("res256s2", "ResNet 3x3, stride 2", (8, 28, 28, 256), (3, 3, 256, 256), strides=2),
    _conv("res512", "ResNet 3x3, stage 4", (8, 7, 7, 512), (3, 3, 512, 512)),
    _conv("res512_N1", "ResNet 3x3, one image", (1, 7, 7, 512), (3, 3, 512, 512)),
    _conv("goog3_96", "GoogLeNet 3x3", (8, 28, 28, 96), (3, 3, 96, 128)),
    _conv("goog5_32", "GoogLeNet 5x5", (8, 28, 28, 32), (5, 5, 32, 96)),
    _conv("dil2_128", "dilated by 2", (8, 28, 28, 128), (3, 3, 128, 128), kernel_dilation=2),
    _conv("big15_32", "15x15 dense", (8, 64, 64, 32), (15, 15, 32, 32)),
    _conv("big31_32", "31x31 dense", (2, 64, 64, 32), (31, 31, 32, 32)),
)
OTHERS = (
    _conv("dcganT4s2", "DCGAN, up by 2", (16, 8, 8, 512), (4, 4, 512, 256), input_dilation=2, padding=2),
    _conv("unetT2s2", "U-Net, up by 2", (8, 28, 28, 128), (2, 2, 128, 64), input_dilation=2, padding=1),
    _conv("c1d_9", "sound, 9 taps", (8, 4096, 64), (9, 64, 64)),
    _conv("c1d_3s2", "sound, stride 2", (32, 1024, 64), (3, 64, 128), strides=2),
    _conv("c3d_16", "3-D, 16 channels", (2, 16, 32, 32, 16), (3, 3, 3, 16, 16)),
    _conv("c3d_64", "3-D, 64 channels", (2, 8, 14, 14, 64), (3, 3, 3, 64, 64)),
)
POOLS = (
    *(
        PoolLayer(
            name=name, about=about, x_shape=shape, maximum=maximum, window=window, strides=strides, padding=padding
        )
        for name, about, shape, maximum, window, strides, padding in (
            ("max2s2_64", "VGG, max 2x2", (8, 56, 56, 64), True, 2, 2, 0),
            ("max3s2_64", "AlexNet, max 3x3", (8, 56, 56, 64), True, 3, 2, 0),
            ("max3s2_stem", "ResNet, max 3x3 padded", (8, 112, 112, 64), True, 3, 2, 1),
            ("max2s2_air", "speed run, max 2x2", (512, 31, 31, 64), True, 2, 2, 0),
            ("max2s2_lenet", "LeNet-5, max 2x2", (128, 28, 28, 6), True, 2, 2, 0),
            ("avg2s2_64", "average 2x2", (8, 56, 56, 64), False, 2, 2, 0),
            ("avg3s1_192", "Inception, average 3x3", (8, 28, 28, 192), False, 3, 1, 1),
        )
    ),
    PoolLayer(
        name="norm_max3s2",
        about="ResNet, batch norm, ReLU, max 3x3 padded",
        x_shape=(8, 112, 112, 64),
        maximum=True,
        window=3,
        strides=2,
        padding=1,
        after_norm=True,
    ),
)
NORMS = (
    NormLayer(name="norm64", about="ResNet, stage 1", x_shape=(8, 56, 56, 64)),
    NormLayer(name="norm512", about="ResNet, stage 4", x_shape=(8, 7, 7, 512)),
    NormLayer(name="norm64_air", about="speed run", x_shape=(512, 15, 15, 64)),
)
STEPS = (
    Step(name="lenet5", about="LeNet-5, batch 128", x_shape=(128, 32, 32, 1)),
    Step(name="cifar_speedrun", about="CIFAR-10 speed run, batch 512", x_shape=(512, 32, 32, 3)),
    Step(name="resnet18_cifar", about="ResNet-18 for CIFAR, batch 64", x_shape=(64, 32, 32, 3)),
    Step(name="mobilenet_v2", about="MobileNetV2 at 96 px, batch 16", x_shape=(16, 96, 96, 3)),
    Step(name="convnext_stage", about="ConvNeXt-Tiny, patches and stage 1, batch 8", x_shape=(8, 224, 224, 3)),
)
CONVS = DEPTHWISE + GROUPED + POINTWISE + FIRST_LAYERS + DENSE + OTHERS
LAYERS: tuple[Layer, ...] = CONVS + POOLS + NORMS + STEPS
"""All layers and steps of the suite, in the order of its tables."""


def select(
    pattern: str = "*",
    *,
    kinds: Collection[str] = (),
    operations: Collection[str] = (),
    layers: Iterable[Layer] = LAYERS,
) -> list[Entry]:
    """The entries whose layer's name matches a shell pattern, of these kinds and operations.

    Args:
        pattern: a shell pattern for the names of layers.
        kinds: of layers; empty for all.
        operations: of layers; empty for all.
        layers: the layers to select from.

    Raises:
        ValueError: no layer has such a name, or none of these has such a kind and operation.

    >>> [str(entry) for entry in select("dw7*", operations=["kernel_grad"])]
    ['dw7_96 kernel_grad', 'dw7_384 kernel_grad']
    """
    layers = list(layers)
    named = [layer for layer in layers if fnmatch.fnmatchcase(layer.name, pattern)]
    if not named:
        hint = did_you_mean(pattern.strip("*?"), [layer.name for layer in layers])
        raise ValueError(f"no layer's name matches {pattern!r}. {hint}")
    found = [
        Entry(layer, operation)
        for layer in named
        for operation in layer.operations
        if (not kinds or layer.kind in kinds) and (not operations or operation in operations)
    ]
    if not found:
        raise ValueError(
            f"of the layers matching {pattern!r} none is of the kind {', '.join(kinds) or 'any'} with the operation "
            f"{', '.join(operations) or 'any'}."
        )
    return found
