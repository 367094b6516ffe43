"""Every array argument of every function accepts NumPy arrays and nested lists, and errors name the argument.

Only shapes and dtypes are compared: a list has the result of the JAX array of its numbers.
"""

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import functional as F
from jaxcnn._arrays import ArrayLike, as_array, as_arrays, as_optional_arrays

RNG = np.random.default_rng(0)
STATS = F.batch_stats(2)


def ones(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


X, KERNEL, TWO = ones(2, 5, 5, 2), ones(3, 3, 2, 2), ones(2)
BOXES = np.array([[0, 0, 2, 2], [1, 1, 3, 4]], np.float32)
POOL: dict[str, Any] = {"window_shape": (2, 2), "strides": 2}
ROI: dict[str, Any] = {"output_size": 2, "spatial_scale": 1.0}
SAMPLES: dict[str, Any] = {"sampling_ratio": 1, "aligned": True}
EVERY: dict[str, dict[str, Any]] = {
    "adaptive_avg_pool": {"x": X, "output_size": (2, 2)},
    "adaptive_max_pool": {"x": X, "output_size": (2, 2)},
    "autocorrelate": {"x": TWO},
    "avg_pool": {"x": X, **POOL},
    "batch_norm": {"x": X, "stats": STATS, "train": True, "scale": TWO, "bias": TWO, "mask": np.array([True, False])},
    "box_area": {"boxes": BOXES},
    "box_iou": {"a": BOXES, "b": BOXES},
    "clip_boxes": {"boxes": BOXES, "image_shape": np.array([2, 3], np.int32)},
    "conv": {"x": X, "kernel": KERNEL, "bias": TWO},
    "conv_input_grad": {"g": X, "kernel": KERNEL, "input_shape": X.shape},
    "conv_kernel_grad": {"x": X, "g": X, "window_shape": (3, 3)},
    "conv_transpose": {"x": X, "kernel": KERNEL, "bias": TWO},
    "convolve": {"x": TWO, "y": TWO},
    "correlate": {"x": TWO, "y": TWO},
    "decode_boxes": {"deltas": BOXES, "anchors": BOXES},
    "depthwise_conv": {"x": X, "kernel": ones(3, 3, 1, 2), "bias": TWO},
    "encode_boxes": {"boxes": BOXES, "anchors": BOXES},
    "extract_patches": {"x": X, **POOL},
    "feature_pool": {"x": X, "size": 2},
    "filters.apply_filter": {"x": X, "kernel": ones(3, 3)},
    "fold_batch_norm": {"kernel": KERNEL, "bias": TWO, "stats": STATS, "scale": TWO, "offset": TWO},
    "fold_patches": {"patches": ones(2, 2, 2, 2, 2, 2), "output_shape": (5, 5), **POOL},
    "gem": {"x": X, "p": np.array(3, np.float32)},
    "generalized_box_iou": {"a": BOXES, "b": BOXES},
    "global_avg_pool": {"x": X},
    "global_max_pool": {"x": X},
    "local_conv": {"x": X, "kernel": ones(5, 5, 3, 3, 2, 2), "bias": TWO},
    "local_contrast_norm": {"x": X},
    "local_response_norm": {"x": X},
    "lp_pool": {"x": X, **POOL},
    "mac": {"x": X},
    "max_pool": {"x": X, **POOL},
    "max_pool_with_indices": {"x": X, **POOL},
    "max_unpool": {"y": X, "indices": np.zeros(X.shape, np.int32), "output_shape": (9, 9)},
    "min_pool": {"x": X, **POOL},
    "nms": {
        "boxes": BOXES,
        "scores": TWO,
        "classes": np.array([0, 1], np.int32),
        "mask": np.array([True, False]),
        "iou_threshold": 0.5,
        "max_output": 2,
    },
    "optical_flow": {"a": X, "b": X, "levels": 1},
    "pointwise_conv": {"x": X, "kernel": ones(2, 2), "bias": TWO},
    "pyramid_roi_align": {"maps": [X[0]], "strides": (4,), "boxes": BOXES, "output_size": 2, **SAMPLES},
    "r_mac": {"x": X},
    "roi_align": {"features": X[0], "boxes": BOXES, **ROI, **SAMPLES},
    "roi_pool": {"features": X[0], "boxes": BOXES, **ROI},
    "separable_conv": {"x": X, "depthwise_kernel": ones(3, 3, 1, 2), "pointwise_kernel": ones(1, 1, 2, 2), "bias": TWO},
    "spatial_pyramid_pool": {"x": X, "levels": (1, 2)},
    "spoc": {"x": X},
    "tiled_conv": {"x": X, "kernel": ones(2, 2, 3, 3, 2, 2), "bias": TWO},
    "weighted_pool": {"x": X, "kernel": ones(2, 2), "strides": 2},
}
FUNCTIONS = {name: getattr(F, name) for name in F.__all__ if inspect.isfunction(getattr(F, name))} | {
    f"filters.{name}": getattr(F.filters, name) for name in F.filters.__all__
}


def array_arguments(name: str) -> list[str]:
    parameters = inspect.signature(FUNCTIONS[name]).parameters
    return [key for key, each in parameters.items() if each.annotation in (ArrayLike, ArrayLike | None)]


def specs(name: str, options: dict[str, Any]) -> Any:
    return jax.eval_shape(lambda: FUNCTIONS[name](**options))


def test_the_table_has_every_array_argument() -> None:
    named = {name: sorted(array_arguments(name)) for name in FUNCTIONS if array_arguments(name)}
    given = {
        name: sorted(key for key, value in options.items() if isinstance(value, np.ndarray))
        for name, options in EVERY.items()
    }
    assert given == named


@pytest.mark.parametrize("name", EVERY)
def test_numpy_arrays_and_lists(name: str) -> None:
    options, keys = EVERY[name], array_arguments(name)
    expected = specs(name, options | {key: jnp.asarray(options[key]) for key in keys})
    assert specs(name, options) == expected
    assert specs(name, options | {key: options[key].tolist() for key in keys}) == expected


@pytest.mark.parametrize("name", EVERY)
def test_the_error_names_what_is_no_array(name: str) -> None:
    for key in array_arguments(name):
        with pytest.raises(
            TypeError, match=rf"^{name.split('.')[-1]}: {key} must be an array of numbers, not of type str"
        ):
            specs(name, EVERY[name] | {key: "image.png"})


def test_an_array_is_not_copied_and_a_tracer_is_not_wrapped() -> None:
    x = jnp.ones(3)
    assert as_array(x, name="x") is x
    one, two = as_arrays(one=x, two=x)
    assert one is two is x
    assert as_optional_arrays(bias=None, mask=x) == (None, x)
    program = jax.make_jaxpr(lambda x: as_array(x, name="x"))(x)
    assert not program.eqns


def test_dtypes_are_those_of_jax() -> None:
    """Lists of floats are float32, and Python numbers stay weakly typed."""
    assert as_array([1.0, 2.0], name="x").dtype == jnp.float32
    assert as_array((1, 2), name="x").dtype == jnp.int32
    assert [as_array(value, name="x").weak_type for value in (1.0, [1.0], np.float32(1))] == [True, False, False]
