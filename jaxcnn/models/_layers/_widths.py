"""Channel counts of networks whose width can be scaled."""

from jaxcnn._errors import ShapeError


def scaled_width(channels: int, factor: float, *, divisor: int = 8) -> int:
    """``channels * factor`` to the nearest multiple of ``divisor``, up where that would lose more than a tenth.

    Raises:
        ShapeError: ``factor`` is not above zero.

    >>> scaled_width(32, 1.0), scaled_width(24, 0.35), scaled_width(32, 0.1)
    (32, 8, 8)
    """
    if not factor > 0:
        raise ShapeError(f"a width of {factor} times the paper's is not above zero.")
    wanted = channels * factor
    width = max(divisor, int(wanted + divisor / 2) // divisor * divisor)
    return width + divisor if width < 0.9 * wanted else width
