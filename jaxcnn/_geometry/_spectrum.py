"""Lengths with fast Fourier transforms."""


def fast_length(size: int) -> int:
    """The smallest length of at least ``size`` that has no prime factor above 5.

    >>> [fast_length(size) for size in (1, 7, 31, 62, 254)]
    [1, 8, 32, 64, 256]
    """
    length = max(size, 1)
    while not _is_smooth(length):
        length += 1
    return length


def _is_smooth(length: int) -> bool:
    for factor in (2, 3, 5):
        while length % factor == 0:
            length //= factor
    return length == 1
