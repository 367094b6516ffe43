"""Channel counts of networks whose width can be scaled."""


def scaled_width(channels: int, factor: float, *, divisor: int = 8) -> int:
    """``channels * factor`` rounded to a multiple of ``divisor``, up if rounding down loses more than a tenth.

    Raises:
        ValueError: ``factor`` is not positive.

    >>> scaled_width(32, 1.0), scaled_width(24, 0.35), scaled_width(32, 0.1)
    (32, 8, 8)
    """
    if not factor > 0:
        raise ValueError(f"width={factor} must be positive.")
    exact = channels * factor
    width = max(divisor, int(exact + divisor / 2) // divisor * divisor)
    return width + divisor if width < 0.9 * exact else width
