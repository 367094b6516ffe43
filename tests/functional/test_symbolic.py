"""Programs exported with symbolic sizes: loaded in another process and run at several sizes, gradients included."""

import functools
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import functional as F
from jaxcnn.shapes import ShapeError
from tests.functional.cases import collect
from tests.functional.cases.case import Case
from tests.functional.pools import ties
from tests.functional.transforms.calls import expect_close, is_floating, outputs, pick, put, scalar

CLOSE = 2e-5
CONSTRAINTS = ("h >= 3", "w >= 3", "d >= 2", "h >= n", "w >= m")
# The least sizes, medium sizes, and sizes above the blocks and chains of the algorithms for known sizes.
SIZES = (
    {"b": 1, "h": 3, "w": 3, "d": 2, "n": 2, "m": 2},
    {"b": 3, "h": 8, "w": 7, "d": 3, "n": 3, "m": 5},
    {"b": 2, "h": 11, "w": 18, "d": 4, "n": 4, "m": 6},
)
RELOAD = """
import sys
import jax, numpy as np
for path in sys.argv[2:]:
    exported = jax.export.deserialize(bytearray(open(path, "rb").read()))
    for size in range(int(sys.argv[1])):
        arrays = np.load(f"{path}.{size}.npz")
        results = exported.call(*(arrays[f"arr_{number}"] for number in range(len(arrays))))
        np.savez(f"{path}.{size}.results.npz", *jax.tree.leaves(results))
"""


def specs(row: Case, spatial: bool) -> list[str]:
    return list(row.symbolic) if spatial else ["b, ..." if batched else "..." for batched in row.batched]


def symbolic_arguments(row: Case, spatial: bool) -> list[jax.ShapeDtypeStruct]:
    names = set(re.findall(r"\w+", " ".join(specs(row, spatial))))
    scope = jax.export.SymbolicScope([entry for entry in CONSTRAINTS if set(re.findall(r"[a-z]", entry)) <= names])
    return [
        jax.ShapeDtypeStruct(jax.export.symbolic_shape(spec, scope=scope, like=array.shape), array.dtype)
        for spec, array in zip(specs(row, spatial), row.draw(0, np.float32), strict=True)
    ]


def at_size(row: Case, spatial: bool, size: dict[str, int]) -> list[np.ndarray]:
    """The arrays of a row with these values of the symbolic axes."""
    shapes = []
    for spec, shape in zip(specs(row, spatial), row.shapes, strict=True):
        names = [entry.strip() for entry in spec.split(",") if entry.strip() != "..."]
        shapes.append((*(size[name] for name in names), *shape[len(names) :]))
    return Case(
        **{field: getattr(row, field) for field in row.__dataclass_fields__ if field != "shapes"}, shapes=tuple(shapes)
    ).draw(0, np.float32)


def values_and_gradients(row: Case) -> Callable[..., Any]:
    def call(*arrays: Any) -> Any:
        def loss(*inner: Any) -> tuple[jax.Array, Any]:
            leaves = outputs(row.call, put(row, arrays, inner))
            floating = [leaf for leaf in leaves if is_floating(leaf)]
            return scalar(floating, [jnp.ones((), jnp.float32)] * len(floating)), leaves

        parts = pick(row, arrays)
        if not parts:  # a function without derivatives, such as nms
            return outputs(row.call, arrays)
        grads, leaves = jax.grad(loss, tuple(range(len(parts))), has_aux=True)(*parts)
        return leaves, grads

    return call


def run_elsewhere(paths: Sequence[Path], sizes: int) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(F.__file__).parents[2])}
    command = [sys.executable, "-c", RELOAD, str(sizes), *map(str, paths)]
    done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def check(rows: Sequence[tuple[Case, bool]], folder: Path, sizes: Sequence[dict[str, int]]) -> None:
    programs = {}
    for number, (row, spatial) in enumerate(rows):
        call, path = jax.jit(values_and_gradients(row)), folder / str(number)
        path.write_bytes(jax.export.export(call)(*symbolic_arguments(row, spatial)).serialize())
        programs[path] = (row, spatial, call)
        for index, size in enumerate(sizes):
            np.savez(f"{path}.{index}.npz", *at_size(row, spatial, size))
    run_elsewhere(list(programs), len(sizes))
    for path, (row, spatial, call) in programs.items():
        for index, size in enumerate(sizes):
            expected = jax.tree.leaves(jax.device_get(call(*at_size(row, spatial, size))))
            with np.load(f"{path}.{index}.results.npz") as results:
                found = [results[f"arr_{number}"] for number in range(len(results))]
            expect_close(found, expected, f"{row.id} at {size}", CLOSE)


ROWS = [(row, spatial) for row in collect() for spatial in (False, True) if any(specs(row, spatial))]
ROWS = [(row, spatial) for row, spatial in ROWS if any(spec != "..." for spec in specs(row, spatial))]


# One row for each code path of a function, with symbolic spatial sizes where it supports them.
PATHS = {row.function: (row, spatial) for row, spatial in sorted(ROWS, key=lambda pair: pair[1]) if not row.like}
BY_DEFAULT = ("conv", "max_pool_with_indices", "batch_norm")


def test_exported_programs_of_a_convolution_a_pool_and_a_norm(tmp_path: Path) -> None:
    check([PATHS[name] for name in BY_DEFAULT], tmp_path, (SIZES[0], SIZES[-1]))


@pytest.mark.gate
def test_exported_programs_of_each_code_path(tmp_path: Path) -> None:
    check(list(PATHS.values()), tmp_path, SIZES)


@pytest.mark.gate
def test_exported_programs_of_the_other_rows(tmp_path: Path) -> None:
    """Rows in which only the batch is symbolic run at one size."""
    others = [pair for pair in ROWS if pair not in PATHS.values()]
    for spatial, sizes in ((False, SIZES[-1:]), (True, (SIZES[0], SIZES[-1]))):
        folder = tmp_path / str(spatial)
        folder.mkdir()
        check([pair for pair in others if pair[1] == spatial], folder, sizes)


def export(function: Callable[..., jax.Array], shape: str, *more: tuple[int, ...]) -> Any:
    x = jax.ShapeDtypeStruct(jax.export.symbolic_shape(shape), jnp.float32)
    return jax.export.export(jax.jit(function))(x, *(jax.ShapeDtypeStruct(s, jnp.float32) for s in more))


def test_reflection_refuses_an_axis_that_may_be_too_short() -> None:
    with pytest.raises(ShapeError, match=r"requires an axis of at least 3 entries, and h may be less.*\"h >= 8\""):
        export(functools.partial(F.conv, padding_mode="reflect", padding=2), "h, 1", (3, 1, 1))


def test_a_pool_refuses_an_axis_that_may_be_shorter_than_its_window() -> None:
    with pytest.raises(ShapeError, match=r"axis 0 a window of 3 may be larger than the input of h .*\"h >= 2\""):
        export(lambda x: F.max_pool(x, (3,), strides=2, padding=((1, 0),)), "h, 1")


@pytest.mark.gate
def test_ties_and_padding_of_pools_with_symbolic_sizes() -> None:
    """The first of equal entries, entries of -inf before padding, and NaN give the results for known sizes."""

    def pooled(x: jax.Array) -> Any:
        options = {"strides": (2, 1), "padding": ((3, 1), (0, 2)), "ceil_mode": True}
        y, indices = F.max_pool_with_indices(x, (3, 2), **options)
        grad = jax.grad(lambda x: jnp.where(jnp.isfinite(y), F.max_pool(x, (3, 2), **options), 0).sum())(x)
        low = jax.grad(lambda x: jnp.nan_to_num(F.min_pool(x, (3, 2), **options)).sum())(x)
        return y, indices, grad, low, F.max_pool(x > 0, (3, 2), **options)

    exported = jax.export.export(jax.jit(pooled))(
        jax.ShapeDtypeStruct(jax.export.symbolic_shape("b, h, w, 2", constraints=["h >= 2"]), jnp.float32)
    )
    for seed, shape in enumerate(((1, 2, 1, 2), (3, 8, 7, 2), (2, 11, 18, 2))):
        x = ties(shape, seed=seed)
        x.ravel()[:: 23 + seed] = np.nan
        for found, expected in zip(exported.call(x), jax.jit(pooled)(x), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_an_algorithm_that_requires_known_sizes_says_so() -> None:
    with pytest.raises(ValueError, match=r"algorithm='winograd'.*requires sizes that are integers"):
        export(functools.partial(F.conv, algorithm="winograd"), "b, 8, 8, 4", (3, 3, 4, 4))


def test_the_choice_for_symbolic_sizes_is_explained() -> None:
    (size,) = jax.export.symbolic_shape("b")
    choice = F.explain_conv((size, 56, 56, 128), (3, 3, 1, 128), feature_group_count=128, platform="cpu")
    assert (choice.algorithm, "symbolic" in choice.reason) == ("xla", True)
