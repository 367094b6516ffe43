"""How much of what a device can do a training run asks of it."""

import math

import jax
import jax.numpy as jnp

from jaxcnn.models import summary
from jaxcnn.train._experiment import Experiment

# Operations a second in bfloat16, in 10**12, by what JAX calls the device; of the makers' data sheets, where NVIDIA's
# figure with sparsity is twice this.
OPERATIONS = {
    "H200": 989.5,
    "H100 PCIe": 756.5,
    "H100": 989.5,
    "A100": 312.0,
    "TPU v4": 275.0,
    "TPU v5 lite": 197.0,
    "TPU v5e": 197.0,
    "TPU v5": 459.0,
    "TPU v6": 918.0,
}


def peak_macs(device_kind: str) -> float | None:
    """The most multiply-adds in bfloat16 that a device does in a second, two operations each; None where not known.

    >>> peak_macs("NVIDIA A100-SXM4-80GB"), peak_macs("cpu")
    (156000000000000.0, None)
    """
    return next((0.5e12 * each for name, each in OPERATIONS.items() if name in device_kind), None)


def share_of_peak(macs: int, images_per_second: float, device_kind: str) -> float:
    """The share of a device's peak that training asks for: ``3 macs rate / peak``; NaN where the peak is not known.

    A step counts three times the multiply-adds of the model, once forward and twice back: for the gradient of the
    inputs and for that of the kernels. Whatever type is computed in, the peak is bfloat16's.

    Args:
        macs: of the model, for one image.
        images_per_second: of one device.
        device_kind: as ``jax.Device.device_kind``.

    >>> round(share_of_peak(4_089_184_256, 2470, "NVIDIA A100-SXM4-80GB"), 3)  # NVIDIA's ResNet-50
    0.194
    """
    return 3 * macs * images_per_second / (peak_macs(device_kind) or math.nan)


def macs_per_image(experiment: Experiment) -> int:
    """Multiply-adds of the model for one image of the size that it is given."""
    blank = jax.ShapeDtypeStruct((1, *experiment.dataset.image_shape), jnp.uint8)
    x = jax.eval_shape(lambda images: experiment.normalize(experiment.prepare(images)), blank)
    return summary(experiment.model, x.shape, dtype=x.dtype).macs
