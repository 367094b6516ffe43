"""The batch over eight devices: ``shard_map``, ``pmap``, and ``jit`` under meshes with Auto and Explicit axes."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from tests.functional.cases.case import Case
from tests.functional.transforms.calls import (
    Arrays,
    Call,
    batched_floats,
    batched_outputs,
    batched_trained,
    by_example,
    expect_close,
    has_batch,
    outputs,
    reference,
    run,
    value_and_gradients,
)

CLOSE = 2e-5  # float32, summed in another order
DEVICES = 8
WHOLE, SPLIT = PartitionSpec(), PartitionSpec("data")


def make_mesh(axis_type: AxisType) -> jax.sharding.Mesh:
    return jax.make_mesh((DEVICES,), ("data",), axis_types=(axis_type,))


def splits(case: Case) -> bool:
    """Whether a device can compute its part of the batch without the other parts, or with a named axis."""
    return not case.couples_batch or case.scoped is not None


def specs(mask: Sequence[bool]) -> list[PartitionSpec]:
    return [SPLIT if yes else WHOLE for yes in mask]


def placed(arrays: Arrays, mask: Sequence[bool], mesh: jax.sharding.Mesh) -> list[jax.Array]:
    """Arrays with a batch axis are split over the devices, the others are replicated."""
    return [jax.device_put(array, NamedSharding(mesh, spec)) for array, spec in zip(arrays, specs(mask), strict=True)]


def check_auto_mesh(case: Case) -> None:
    """``jit`` over an Auto mesh, plain and with ``shard_map`` inside, gives one device's values and gradients."""
    row, mesh = reference(case), make_mesh(AxisType.Auto)
    expected = row.values, row.grads
    operands = placed(row.arrays, case.batched, mesh), placed(row.weight, batched_floats(case), mesh)
    got = run(functools.partial(_on_mesh, case, mesh), *operands)
    expect_close(got["plain"], expected, "jit over an Auto mesh, values and gradients", CLOSE)
    if splits(case):
        expect_close(got["outside"], expected, "shard_map, values and gradients", CLOSE)
        expect_close(got["inside"], row.grads, "gradient inside shard_map", CLOSE)


def _on_mesh(case: Case, mesh: jax.sharding.Mesh, arrays: Arrays, weight: Arrays) -> dict[str, Any]:
    plain = value_and_gradients(case, arrays, weight)
    if not splits(case):
        return {"plain": plain}
    local, array_specs = _local_call(case), specs(case.batched)
    whole = jax.shard_map(local, mesh=mesh, in_specs=tuple(array_specs), out_specs=specs(batched_outputs(case)))
    # A scalar that differs between devices is summed over them; a scalar that is equal on all devices is not.
    share = DEVICES if any(batched_floats(case)) else 1
    gradient = jax.shard_map(
        functools.partial(_local_gradients, case, local, share),
        mesh=mesh,
        in_specs=(array_specs, specs(batched_floats(case))),
        out_specs=specs(batched_trained(case)),
    )
    return {
        "plain": plain,
        "outside": value_and_gradients(case, arrays, weight, call=whole),
        "inside": gradient(arrays, weight),
    }


def _local_call(case: Case) -> Call:
    """The computation of one device, as a flat list; sums over the batch are summed over the devices too."""
    call, is_batched = case.scoped or case.call, batched_outputs(case)

    def local(*arrays: Any) -> list[jax.Array]:
        leaves = outputs(call, arrays)
        if not case.reduces_batch:
            return leaves
        return [leaf if yes else jax.lax.psum(leaf, "data") for leaf, yes in zip(leaves, is_batched, strict=True)]

    return local


def _local_gradients(case: Case, local: Call, share: int, arrays: Arrays, weight: Arrays) -> list[jax.Array]:
    """Gradients inside ``shard_map``: each device adds its part of the scalar, and a fraction of the common part."""
    weight = [w if yes else w / share for w, yes in zip(weight, batched_floats(case), strict=True)]
    return value_and_gradients(case, arrays, weight, call=local)[1]


def check_explicit_mesh(case: Case) -> None:
    """``jit`` over an Explicit mesh gives one device's values and gradients, and a split batch stays split.

    It stays split inside the program too: if each output belongs to one example, devices must not exchange data.
    """
    row, mesh = reference(case), make_mesh(AxisType.Explicit)
    with jax.set_mesh(mesh):
        operands = placed(row.arrays, case.batched, mesh), placed(row.weight, batched_floats(case), mesh)
        program = jax.jit(functools.partial(value_and_gradients, case)).lower(*operands).compile()
        got = program(*operands)
    text = program.as_text()
    # Older releases of XLA do not split Fourier transforms over any axis.
    if by_example(case) and not (jax.__version_info__ < (0, 12) and " fft(" in text):
        assert " all-gather(" not in text, "the compiled program brings the batch together"
    for leaf, batched in zip(got[0], batched_outputs(case), strict=True):
        if batched:
            assert leaf.sharding.spec[0] == "data", f"the batch came together: {leaf.sharding.spec}"
    expect_close(jax.device_get(got), (row.values, row.grads), "jit over an Explicit mesh, values and gradients", CLOSE)


def check_pmap(case: Case) -> None:
    """``pmap`` over the batch gives one device's values and gradients."""
    row, local = reference(case), _local_call(case)
    has_axis = batched_trained(case)

    def each(parts: Arrays, w: Arrays, device: jax.Array) -> Any:
        grads = _local_gradients(case, local, DEVICES, parts, w)
        totals = [grad if yes else jax.lax.psum(grad, "data") for grad, yes in zip(grads, has_axis, strict=True)]
        return local(*parts), totals

    program = jax.pmap(
        each,
        axis_name="data",
        in_axes=(_axes(case.batched), _axes(batched_floats(case)), 0),  # the last one is for rows without a batch
        out_axes=(_axes(batched_outputs(case)), _axes(has_axis if row.grads else [])),
    )
    shares = _shares(row.arrays, case.batched), _shares(row.weight, batched_floats(case))
    values, grads = jax.device_get(program(*shares, np.arange(DEVICES)))
    expect_close(_joined(values, batched_outputs(case)), row.values, "pmap", CLOSE)
    if row.grads and has_batch(case):
        expect_close(_joined(grads, has_axis), row.grads, "gradient in pmap", CLOSE)


def _axes(mask: Sequence[bool]) -> list[int | None]:
    return [0 if yes else None for yes in mask]


def _shares(arrays: Arrays, mask: Sequence[bool]) -> list[Any]:
    """Adds a leading axis of devices to arrays with a batch axis."""
    pairs = zip(arrays, mask, strict=True)
    return [array.reshape(DEVICES, -1, *array.shape[1:]) if yes else array for array, yes in pairs]


def _joined(leaves: Arrays, mask: Sequence[bool]) -> list[Any]:
    return [np.concatenate(leaf) if yes else leaf for leaf, yes in zip(leaves, mask, strict=True)]
