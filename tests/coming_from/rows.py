"""Pairs of calls, of another library and of this one, that are run and compared; the page is generated from them.

Names in a call: ``x`` ``(2, 9, 9, 4)`` and other arrays as below; the calls of the other library use its own layout.
"""

import dataclasses

SHAPES = {
    "x": (2, 9, 9, 4),
    "signal": (2, 12, 4),
    "volume": (2, 5, 6, 5, 2),
    "kernel": (3, 3, 4, 6),
    "kernel1": (3, 4, 6),
    "kernel3": (3, 3, 3, 2, 3),
    "grouped": (3, 3, 2, 6),
    "depthwise": (3, 3, 1, 4),
    "pointwise": (1, 1, 4, 6),
    "transposed": (3, 3, 6, 4),
    "bias": (6,),
    "scale": (4,),
    "offset": (4,),
    "mean": (4,),
    "var": (4,),
}


@dataclasses.dataclass(frozen=True)
class Row:
    """One operation: the calls of the other library and of jaxcnn, and how they differ."""

    operation: str
    there: str
    here: str
    note: str = ""


TORCH = [
    Row(
        "convolution",
        "F.conv2d(x, kernel, bias)",
        'F.conv(x, kernel, bias=bias, padding="VALID")',
        "the default padding of PyTorch is 0, that of jaxcnn SAME",
    ),
    Row("strides, padding", "F.conv2d(x, kernel, stride=2, padding=1)", "F.conv(x, kernel, strides=2, padding=1)"),
    Row(
        "same size",
        'F.conv2d(x, kernel, padding="same")',
        "F.conv(x, kernel)",
        "SAME of jaxcnn accepts strides: ceil(n / stride) outputs; the extra one of an odd number of zeros is after",
    ),
    Row("dilation", "F.conv2d(x, kernel, dilation=2)", 'F.conv(x, kernel, kernel_dilation=2, padding="VALID")'),
    Row("groups", "F.conv2d(x, grouped, groups=2)", 'F.conv(x, grouped, feature_group_count=2, padding="VALID")'),
    Row("depthwise", "F.conv2d(x, depthwise, groups=4, padding=1)", "F.depthwise_conv(x, depthwise, padding=1)"),
    Row(
        "1-D",
        "F.conv1d(signal, kernel1, padding=1)",
        "F.conv(signal, kernel1, padding=1)",
        "one function; the rank of the kernel determines the number of spatial axes",
    ),
    Row("3-D", "F.conv3d(volume, kernel3)", 'F.conv(volume, kernel3, padding="VALID")'),
    Row(
        "reflected border",
        'F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), kernel)',
        'F.conv(x, kernel, padding=1, padding_mode="reflect")',
    ),
    Row(
        "repeated border",
        'F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), kernel)',
        'F.conv(x, kernel, padding=1, padding_mode="edge")',
    ),
    Row(
        "transposed",
        "F.conv_transpose2d(x, transposed, stride=2, padding=1, output_padding=1)",
        "F.conv_transpose(x, transposed, strides=2, padding=1, output_padding=1)",
        "the kernel is `(in, out, *window)` in PyTorch, `(*window, out, in)` in jaxcnn",
    ),
    Row("max pooling", "F.max_pool2d(x, 2)", "F.max_pool(x, (2, 2), strides=2)", "strides have no default in jaxcnn"),
    Row("overlapping", "F.max_pool2d(x, 3, stride=2, padding=1)", "F.max_pool(x, (3, 3), strides=2, padding=1)"),
    Row(
        "last partial window",
        "F.max_pool2d(x, 2, stride=2, ceil_mode=True)",
        "F.max_pool(x, (2, 2), strides=2, ceil_mode=True)",
    ),
    Row(
        "unpooling",
        "F.max_unpool2d(*F.max_pool2d(x, 3, return_indices=True), 3, output_size=(9, 9))",
        "F.max_unpool(*F.max_pool_with_indices(x, (3, 3), strides=3), output_shape=(9, 9))",
    ),
    Row(
        "average pooling",
        "F.avg_pool2d(x, 3, stride=2, padding=1)",
        "F.avg_pool(x, (3, 3), strides=2, padding=1, count_include_pad=True)",
        "PyTorch averages over padded zeros by default, jaxcnn does not",
    ),
    Row(
        "Lp pooling",
        "F.lp_pool2d(x.abs(), 2, 3, stride=3)",
        "F.lp_pool(x, (3, 3), strides=3, p=2)",
        "jaxcnn takes the absolute value, and its gradient at 0 is finite",
    ),
    Row("adaptive average", "F.adaptive_avg_pool2d(x, (4, 4))", "F.adaptive_avg_pool(x, (4, 4))"),
    Row("adaptive maximum", "F.adaptive_max_pool2d(x, (4, 4))", "F.adaptive_max_pool(x, (4, 4))"),
    Row("global average", "x.mean((2, 3))", "F.global_avg_pool(x)"),
    Row(
        "fold",
        "F.fold(F.unfold(x, 3), (9, 9), 3)",
        "F.fold_patches(F.extract_patches(x, (3, 3), strides=1), output_shape=(9, 9), window_shape=(3, 3), strides=1)",
    ),
    Row(
        "batch norm, evaluating",
        "F.batch_norm(x, mean, var, scale, offset)",
        "F.batch_norm(x, F.BatchStats(mean, var, 1), scale=scale, bias=offset, train=False)[0]",
    ),
    Row(
        "batch norm, training",
        "F.batch_norm(x, mean, var, scale, offset, training=True)",
        "F.batch_norm(x, F.BatchStats(mean, var, 1), scale=scale, bias=offset, train=True)[0]",
        "momentum is the weight of the new value in PyTorch (default 0.1), of the old value in jaxcnn (default 0.99)",
    ),
    Row(
        "response norm",
        "F.local_response_norm(x, 5, alpha=5e-4, k=2.0)",
        "F.local_response_norm(x, size=5, alpha=1e-4, k=2.0)",
        "PyTorch divides alpha by the size; jaxcnn does not, as in the paper",
    ),
]

KERAS = [
    Row("convolution", 'ops.conv(x, kernel, strides=2, padding="same")', "F.conv(x, kernel, strides=2)"),
    Row(
        "no padding",
        "ops.conv(x, kernel)",
        'F.conv(x, kernel, padding="VALID")',
        "the default of Keras is valid, that of jaxcnn SAME",
    ),
    Row("dilation", 'ops.conv(x, kernel, dilation_rate=2, padding="same")', "F.conv(x, kernel, kernel_dilation=2)"),
    Row(
        "depthwise",
        'ops.depthwise_conv(x, depthwise, padding="same")',
        "F.depthwise_conv(x, depthwise)",
        "the kernel ends in `(in, multiplier)` in Keras, in `(1, in * multiplier)` in jaxcnn",
    ),
    Row(
        "separable",
        'ops.separable_conv(x, depthwise, pointwise, padding="same")',
        "F.separable_conv(x, depthwise, pointwise)",
    ),
    Row(
        "transposed",
        'ops.conv_transpose(x, transposed, strides=2, padding="same")',
        "F.conv_transpose(x, transposed, strides=2)",
    ),
    Row("max pooling", "ops.max_pool(x, 3, strides=2)", "F.max_pool(x, (3, 3), strides=2)"),
    Row(
        "average pooling",
        'ops.average_pool(x, 3, strides=2, padding="same")',
        'F.avg_pool(x, (3, 3), strides=2, padding="SAME")',
    ),
]

FLAX = [
    Row(
        "convolution",
        "linen.Conv(6, (3, 3), strides=2)",
        "nn.Conv(6, (3, 3), strides=2)",
        "same variables, same results",
    ),
    Row("circular border", 'linen.Conv(6, (3, 3), padding="CIRCULAR")', 'nn.Conv(6, (3, 3), padding="CIRCULAR")'),
    Row("grouped", "linen.Conv(6, (3, 3), feature_group_count=2)", "nn.Conv(6, (3, 3), feature_group_count=2)"),
    Row("transposed", "linen.ConvTranspose(6, (3, 3), strides=(2, 2))", "nn.ConvTranspose(6, (3, 3), strides=(2, 2))"),
    Row(
        "batch norm",
        "linen.BatchNorm(use_running_average=True)",
        "nn.BatchNorm(use_running_average=True)",
        "the running variance of jaxcnn is unbiased; unbiased=False gives that of Flax",
    ),
    Row(
        "max pooling",
        "linen.max_pool(x, (2, 2), strides=(2, 2))",
        "nn.max_pool(x, (2, 2), strides=(2, 2))",
        "strides default to 1 in Flax and have no default in jaxcnn",
    ),
    Row(
        "average pooling",
        'linen.avg_pool(x, (3, 3), strides=(1, 1), padding="SAME", count_include_pad=False)',
        'nn.avg_pool(x, (3, 3), strides=(1, 1), padding="SAME")',
        "Flax averages over padded zeros by default, jaxcnn does not",
    ),
]
