"""The fraction of a device's peak performance that a training run uses."""

import math

from jaxcnn.models import summary
from jaxcnn.train._chips import chip_of
from jaxcnn.train._devices import Parallel
from jaxcnn.train._experiment import Experiment
from jaxcnn.train._network import networks


def peak_macs(device_kind: str) -> float | None:
    """The most multiply-adds in bfloat16 that a device does in a second, two operations each; None where not known.

    >>> peak_macs("NVIDIA A100-SXM4-80GB"), peak_macs("cpu")
    (156000000000000.0, None)
    """
    chip = chip_of(device_kind)
    return None if chip is None else chip.operations / 2


def share_of_peak(macs: int, images_per_second: float, device_kind: str) -> float:
    """The fraction of a device's peak that training uses: ``3 macs rate / peak``; NaN where the peak is not known.

    A step counts three times the multiply-adds of the model, once forward and twice back: for the gradient of the
    inputs and for that of the kernels. The peak is always that of bfloat16, even if the computation has another dtype.

    Args:
        macs: of the model, for one image.
        images_per_second: of one device.
        device_kind: as ``jax.Device.device_kind``.

    >>> round(share_of_peak(4_089_184_256, 2470, "NVIDIA A100-SXM4-80GB"), 3)  # NVIDIA's ResNet-50
    0.194
    """
    return 3 * macs * images_per_second / (peak_macs(device_kind) or math.nan)


def macs_per_example(experiment: Experiment) -> int:
    """Multiply-adds of the networks of an experiment for one example, as ``init`` calls them."""
    return sum(summary(model, x.shape, dtype=x.dtype).macs for model, x in networks(experiment))


def timing(experiment: Experiment, parallel: Parallel, examples_per_second: float) -> dict[str, float]:
    """The speed of training as ``timing.json`` has it."""
    each = examples_per_second / parallel.devices
    found = {"examples_per_second": examples_per_second}
    if parallel.devices > 1:
        found["examples_per_second_per_device"] = each
    kind = parallel.mesh.devices.flat[0].device_kind
    if peak_macs(kind) is not None:
        found["share_of_peak"] = share_of_peak(macs_per_example(experiment), each, kind)
    return {name: round(value, 3) for name, value in found.items()}
