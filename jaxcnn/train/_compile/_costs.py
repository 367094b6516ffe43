"""The operations and the memory traffic of a compiled program, counted from its text.

The bytes that the compiler for TPUs reports are not the traffic of the memory: accesses of the memory on the chip count
as well, and arrays that are copied there in advance count twice. The compiler for GPUs reports nothing.
"""

import collections
import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from jaxcnn.train._compile._arrays import arrays, memory_bytes

_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) .*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (.+?) ([\w\-]+)\((.*)$")
_DILATION = re.compile(r"lhs_dilate=([\dx]+)")
_LABELS = re.compile(r"dim_labels=(\w+)_(\w+)->(\w+)")
_CONTRACTED = re.compile(r"lhs_contracting_dims=\{([\d,]*)\}")
_BODY = re.compile(r"(?:body|to_apply)=%?([\w.\-]+)")
_FUSED = re.compile(r"calls=%?([\w.\-]+)")
_SLICES = ("slice", "dynamic-slice")
# Operations that move no data.
FREE = ("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "partition-id", "replica-id")


class Instruction(NamedTuple):
    """A line of a program as text: the type of its result, the operation, the names of its operands, and the rest."""

    result: str
    operation: str
    operands: list[str]
    text: str


def costs(lowered: Any, compiled: Any, devices: int) -> tuple[float, float]:
    """The operations and the bytes accessed of one device.

    The operations are those that the compiler reports. The compiler for GPUs reports none; then the operations of
    convolutions and matrix products are counted, those in loops once.
    """
    reported = compiled.cost_analysis()
    flops = reported.get("flops", 0.0) if reported else products(lowered.as_text("hlo")) / devices
    return flops, traffic(compiled.as_text())


def products(program: str) -> float:
    """The operations of all convolutions and matrix products of a program before its compilation, as text.

    >>> text = '''ENTRY %main {
    ...   %x = f32[8,3]{1,0} parameter(0)
    ...   %k = f32[3,5]{1,0} parameter(1)
    ...   ROOT %y = f32[8,5]{1,0} dot(%x, %k), lhs_contracting_dims={1}, rhs_contracting_dims={0}
    ... }'''
    >>> products(text)
    240.0
    """
    total = 0.0
    for instructions in _computations(program)[0].values():
        for each in instructions.values():
            if each.operation == "dot" and (contracted := _CONTRACTED.search(each.text)):
                shape = _shape(instructions[each.operands[0]].result)
                total += (
                    2 * arrays(each.result)[0].size * math.prod(shape[int(axis)] for axis in _digits(contracted[1]))
                )
            elif each.operation == "convolution" and (labels := _LABELS.search(each.text)):
                kernel = dict(zip(labels[2], _shape(instructions[each.operands[1]].result), strict=True))
                taps = math.prod(size for label, size in kernel.items() if label != "o")
                zeros = _DILATION.search(each.text)  # entries that are dilated with zeros
                dilation = math.prod(_digits(zeros[1])) if zeros else 1
                total += 2 * arrays(each.result)[0].size * taps / dilation
    return total


def traffic(program: str) -> float:
    """The bytes of the operands and results in memory of all instructions of a compiled program, as text.

    Padding is included. If an instruction reads only slices of an operand, these slices are counted.

    >>> text = '''ENTRY %main {
    ...   %x = f32[8,3]{1,0} parameter(0)
    ...   ROOT %y = f32[8]{0} fusion(%x), kind=kLoop, calls=%sum
    ... }'''
    >>> traffic(text)
    128.0
    """
    computations, entry = _computations(program)
    return _traffic(computations, entry)


def _traffic(computations: dict[str, dict[str, Instruction]], name: str) -> float:
    instructions = computations[name]
    total = 0.0
    for each in instructions.values():
        if each.operation in FREE or each.operation.endswith("-done"):
            continue
        body = _BODY.search(each.text)
        if each.operation in ("while", "call") and body:
            total += _traffic(computations, body[1])
            continue
        if each.operation == "conditional":
            total += max(_traffic(computations, name) for name in _branches(each.text))
            continue
        written = memory_bytes(each.result)
        if each.operation.endswith("-start"):  # the result of an asynchronous operation names its operands
            written -= sum(memory_bytes(instructions[operand].result) for operand in each.operands)
        total += written + sum(_read(computations, instructions, operand, each) for operand in set(each.operands))
    return total


def _branches(text: str) -> list[str]:
    found = re.findall(r"(?:branch|true|false)_computations?=(?:\{([^}]*)\}|%?([\w.\-]+))", text)
    return re.findall(r"[\w.\-]+", " ".join(names for pair in found for names in pair))


def _read(
    computations: dict[str, dict[str, Instruction]], instructions: dict[str, Instruction], name: str, user: Instruction
) -> float:
    """The bytes that an instruction reads of one of its operands."""
    whole = memory_bytes(instructions[name].result)
    if user.operation.removesuffix("-start") in _SLICES and user.operands[0] == name:
        return whole * min(1.0, arrays(user.result)[user.operation.endswith("-start")].size / _size(instructions, name))
    called = _FUSED.search(user.text)
    if user.operation != "fusion" or called is None:
        return whole
    fused, argument = computations.get(called[1], {}), f"{user.operands.index(name)})"
    for inner, each in fused.items():
        if each.operation == "parameter" and each.text.startswith(argument):
            return whole * _share(fused, inner)
    return whole


def _share(fused: dict[str, Instruction], name: str) -> float:
    """The share of the entries of an array that a fused computation reads."""
    entries = _size(fused, name)
    share = 0.0
    for key, user in fused.items():
        if name in user.operands:
            sliced = user.operation in _SLICES and user.operands[0] == name
            if not sliced and user.operation != "convert":
                return 1.0
            share += arrays(user.result)[0].size / entries if sliced else _share(fused, key)
    return min(share, 1.0)


def _size(instructions: dict[str, Instruction], name: str) -> int:
    return max(arrays(instructions[name].result)[0].size, 1)


def _computations(program: str) -> tuple[dict[str, dict[str, Instruction]], str]:
    """The instructions of each computation, by name, and the name of the first one that runs."""
    found: dict[str, dict[str, Instruction]] = collections.defaultdict(dict)
    name = entry = ""
    for line in program.splitlines():
        if head := _COMPUTATION.match(line):
            name = head[2]
            entry = name if head[1] else entry
        elif parts := _INSTRUCTION.match(line):
            words = re.findall(r"[\w.\-]+", parts[4].split("), ")[0])
            operands = [word for word in words if word in found[name]]
            found[name][parts[1]] = Instruction(parts[2], parts[3], operands, parts[4])
    return found, entry


def _shape(result: str) -> list[int]:
    return list(_digits(result[result.index("[") : result.index("]")]))


def _digits(text: str) -> Iterator[int]:
    return map(int, re.findall(r"\d+", text))
