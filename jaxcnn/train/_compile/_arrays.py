"""The arrays that a type names in the text of a program."""

import math
import re
from typing import NamedTuple

_ARRAY = re.compile(r"([a-z]+\d*[a-z0-9]*)\[([\d,]*)\](?:\{([\d,]*):?([^}]*)\})?")
_TILE = re.compile(r"T\(([\d,]+)\)")


class Array(NamedTuple):
    """The number of elements of an array, and its bytes."""

    size: int
    bytes: int


def arrays(text: str) -> list[Array]:
    """All arrays of a type.

    >>> arrays("(bf16[2,3]{1,0}, u32[])")
    [Array(size=6, bytes=12), Array(size=1, bytes=4)]
    """
    found = []
    for dtype, shape, *_ in _ARRAY.findall(text):
        size = math.prod(_numbers(shape))
        found.append(Array(size, math.ceil(size * bits(dtype) / 8)))
    return found


def array_bytes(text: str) -> int:
    """The bytes of all arrays of a type.

    >>> array_bytes("(bf16[2,3]{1,0}, u32[])")
    16
    """
    return sum(each.bytes for each in arrays(text))


def memory_bytes(text: str) -> int:
    """The bytes of all arrays of a type in the main memory of a device, padded to whole tiles of their layouts.

    Arrays in another memory space, such as the memory on a chip of a TPU, are not counted.

    >>> memory_bytes("(bf16[8,28,28,64]{3,0,2,1:T(8,128)(2,1)}, f32[8,64]{1,0:T(8,128)S(1)})")
    1605632
    """
    total = 0
    for dtype, shape, order, layout in _ARRAY.findall(text):
        if "S(" in layout:
            continue
        sizes = _numbers(shape)
        if tile := _TILE.match(layout):
            sizes = [sizes[axis] for axis in _numbers(order)]  # the axis that is contiguous in memory first
            for place, side in zip(range(len(sizes)), reversed(_numbers(tile[1])), strict=False):
                sizes[place] = math.ceil(sizes[place] / side) * side
        total += math.ceil(math.prod(sizes) * bits(dtype) / 8)
    return total


def _numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)]


def bits(dtype: str) -> int:
    """The bits of one element: the first number in XLA's name of a type.

    >>> bits("bf16"), bits("f8e4m3fn"), bits("pred")
    (16, 8, 8)
    """
    digits = re.search(r"\d+", dtype)
    return int(digits[0]) if digits else 8
