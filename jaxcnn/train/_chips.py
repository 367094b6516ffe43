"""Published figures of accelerators.

Sources: for TPUs the pages "TPU v4", "TPU v5e", "TPU v5p" and "TPU v6e" of Google Cloud's TPU documentation (peak
compute per chip in bf16, HBM capacity and bandwidth per chip); for GPUs NVIDIA's data sheets of the A100, H100
and H200, whose bfloat16 figures with sparsity are twice those without.
"""

from typing import NamedTuple


class Chip(NamedTuple):
    """The peak figures of a chip.

    Attributes:
        operations: per second in bfloat16; a multiply-add is two.
        bandwidth: of its memory, in bytes per second.
        memory: in bytes.
    """

    operations: float
    bandwidth: float
    memory: float


# By a part of JAX's name of the device; the first part that occurs in the name is used.
CHIPS = {
    "TPU v4": Chip(275e12, 1200e9, 32 * 2**30),
    "TPU v5 lite": Chip(197e12, 819e9, 16e9),
    "TPU v5e": Chip(197e12, 819e9, 16e9),
    "TPU v5": Chip(459e12, 2765e9, 95e9),
    "TPU v6": Chip(918e12, 1638e9, 32e9),
    "H200": Chip(989.5e12, 4800e9, 141e9),
    "H100 PCIe": Chip(756.5e12, 2000e9, 80e9),
    "H100": Chip(989.5e12, 3350e9, 80e9),
    "A100-SXM4-40GB": Chip(312e12, 1555e9, 40e9),
    "A100-PCIE-40GB": Chip(312e12, 1555e9, 40e9),
    "A100": Chip(312e12, 2039e9, 80e9),
}


def chip_of(device_kind: str) -> Chip | None:
    """The figures of a device; None where they are not known.

    >>> chip_of("TPU v5 lite").bandwidth
    819000000000.0
    >>> chip_of("cpu")
    """
    return next((chip for name, chip in CHIPS.items() if name in device_kind), None)
