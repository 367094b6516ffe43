"""The operations of a compiled program by which devices exchange arrays."""

import dataclasses
import re
from collections.abc import Collection

from jaxcnn.train._compile._arrays import arrays

KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
# Operations that move parts of an array to other devices. A sum over devices moves none: its shape is the same on all.
MOVES = ("all-gather", "all-to-all", "collective-permute")
_INSTRUCTION = re.compile(rf"^\s*(?:ROOT )?%?[\w.\-]+ = (.+?) ({'|'.join(KINDS)})(-start)?\(")
_NAME = re.compile(r'op_name="([^"]*)"')


@dataclasses.dataclass(frozen=True)
class Collective:
    """One operation of a compiled program.

    Attributes:
        kind: one of ``KINDS``.
        sizes: the number of elements of each result on a device.
        bytes: of all results on a device.
        name: what JAX calls the operation, with the layer that it belongs to.
    """

    kind: str
    sizes: tuple[int, ...]
    bytes: int
    name: str


def collectives(program: str) -> list[Collective]:
    """The collective operations of a compiled program, as text, in order.

    An operation in a loop is listed once.

    >>> collectives('  %sum = f32[64]{0} all-reduce(%x), to_apply=%add, metadata={op_name="jit(step)/norm/add"}')
    [Collective(kind='all-reduce', sizes=(64,), bytes=256, name='jit(step)/norm/add')]
    """
    found = []
    for line in program.splitlines():
        instruction = _INSTRUCTION.match(line)
        if instruction is None:
            continue
        result, kind, start = instruction.groups()
        results = arrays(result)
        if start and (kind != "all-reduce" or result.startswith("((")):
            # The result of an asynchronous operation begins with its operands.
            operands = 1 if kind == "collective-permute" else len(results) // 2
            results = results[operands : 2 * operands]
        name = _NAME.search(line)
        found.append(
            Collective(
                kind=kind,
                sizes=tuple(each.size for each in results),
                bytes=sum(each.bytes for each in results),
                name=name[1] if name else "",
            )
        )
    return found


def by_kind(found: Collection[Collective]) -> dict[str, dict[str, int]]:
    """The number and the bytes of the collectives of each kind.

    >>> by_kind([Collective("all-reduce", (2,), 8, ""), Collective("all-reduce", (1, 1), 8, "")])
    {'all-reduce': {'count': 2, 'bytes': 16}}
    """
    totals = {}
    for kind in KINDS:
        group = [each for each in found if each.kind == kind]
        if group:
            totals[kind] = {"count": len(group), "bytes": sum(each.bytes for each in group)}
    return totals


def moved(found: Collection[Collective], parameters: Collection[int] = ()) -> list[Collective]:
    """The collectives that move activations between devices, which data parallelism does not require.

    Args:
        found: of one program.
        parameters: the numbers of elements of the arrays that are split over the devices and gathered by each step.
    """
    return [each for each in found if each.kind in MOVES and not set(each.sizes) <= set(parameters)]
