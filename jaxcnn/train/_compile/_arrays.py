"""The arrays that a type names in the text of a program."""

import math
import re
from typing import NamedTuple

_ARRAY = re.compile(r"([a-z]+\d*[a-z0-9]*)\[([\d,]*)\]")


class Array(NamedTuple):
    """The number of elements of an array, and its bytes."""

    size: int
    bytes: int


def arrays(text: str) -> list[Array]:
    """All of a type.

    >>> arrays("(bf16[2,3]{1,0}, u32[])")
    [Array(size=6, bytes=12), Array(size=1, bytes=4)]
    """
    found = []
    for dtype, shape in _ARRAY.findall(text):
        size = math.prod(map(int, re.findall(r"\d+", shape)))
        found.append(Array(size, math.ceil(size * bits(dtype) / 8)))
    return found


def array_bytes(text: str) -> int:
    """Of all arrays of a type.

    >>> array_bytes("(bf16[2,3]{1,0}, u32[])")
    16
    """
    return sum(each.bytes for each in arrays(text))


def bits(dtype: str) -> int:
    """Of one element; the first number in XLA's name of a type.

    >>> bits("bf16"), bits("f8e4m3fn"), bits("pred")
    (16, 8, 8)
    """
    digits = re.search(r"\d+", dtype)
    return int(digits[0]) if digits else 8
