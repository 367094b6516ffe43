"""What the estimates depend on in the processor of this machine."""

import os
import re
from pathlib import Path


def has_avx512(information: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether XLA may compile for AVX-512: Linux lists its flag, and ``XLA_FLAGS`` do not limit the instructions.

    False on other systems, where Linux's file is missing.
    """
    limit = re.search(r"--xla_cpu_max_isa=(\w+)", os.environ.get("XLA_FLAGS", ""))
    if limit and not limit[1].upper().startswith("AVX512"):
        return False
    try:
        with information.open(encoding="utf-8", errors="replace") as lines:
            flags = next((line for line in lines if line.startswith("flags")), "")
    except OSError:
        return False
    return "avx512f" in flags.split()


AVX512 = has_avx512()
