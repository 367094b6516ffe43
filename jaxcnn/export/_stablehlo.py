"""Files of StableHLO, which JAX runs without jaxcnn."""

import os
import re
from collections import Counter
from pathlib import Path

from jaxcnn._files import replacing
from jaxcnn.export._portable import PortableProgram


def to_stablehlo(program: PortableProgram, path: str | os.PathLike[str]) -> dict[str, int]:
    """Writes a portable program as ``jax.export`` serializes it, with the parameters inside.

    In another process ``jax.export.deserialize(bytearray(Path(path).read_bytes())).call(x)`` computes it, without
    jaxcnn. It runs on CPUs, GPUs and TPUs. JAX guarantees to read such a file for at least six months.

    Args:
        program: made by ``portable``.
        path: of the file, which is replaced.

    Returns:
        the number of operations of each type, without constants.

    >>> import jax, tempfile
    >>> from jaxcnn.export import portable
    >>> file = Path(tempfile.mkdtemp()) / "model.stablehlo"
    >>> to_stablehlo(portable(lambda x: 2 * x, (2, 3)), file)
    {'multiply': 1}
    >>> jax.export.deserialize(bytearray(file.read_bytes())).call(jax.numpy.ones((2, 3))).sum()
    Array(12., dtype=float32)
    """
    exported = program.exported
    with replacing(Path(path)) as file:
        file.write(bytes(exported.serialize()))
    kinds = re.findall(r"= \"?stablehlo\.(\w+)", exported.mlir_module())
    return dict(sorted(Counter(kind for kind in kinds if kind not in NOT_COMPUTED).items()))


# Names in the text of a program that compute nothing, or only the shape of something.
NOT_COMPUTED = {"constant", "return", "broadcast_in_dim", "dynamic_broadcast_in_dim", "get_dimension_size"}
