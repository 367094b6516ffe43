"""``lax.conv_general_dilated`` under ``accelerate``: equal numbers, from other programs, under every transform."""

import functools
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jax import lax
from jax.interpreters import mlir
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import jaxcnn
from jaxcnn.functional._accelerate import accelerate
from jaxcnn.functional._engine import _choose, _lax_rule
from jaxcnn.functional._engine._algorithms import ALGORITHMS
from jaxcnn.functional._engine._explanation import ConvChoice
from jaxcnn.functional._engine._plan import ConvPlan, Operation, task_of
from tests.examples import SHARE
from tests.tiers import default_rows

NHWC = ("NHWC", "HWIO", "NHWC")
depthwise = functools.partial(
    lax.conv_general_dilated, window_strides=(2, 1), padding="SAME", dimension_numbers=NHWC, feature_group_count=32
)


@pytest.fixture(autouse=True)
def off_afterwards() -> Iterator[None]:
    yield
    accelerate(False)


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def is_taken_over(function: Callable[..., Any], *operands: Any) -> bool:
    return "stablehlo.convolution" not in jax.jit(function).lower(*operands).as_text()


def all_derivatives(function: Callable[..., jax.Array], x: Any, kernel: Any) -> Any:
    """Value, tangent, gradients and second derivatives."""

    def loss(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return jnp.sum(jnp.sin(function(x, kernel)))

    first = jax.grad(loss, (0, 1))
    norm = jax.grad(lambda x, kernel: sum(jnp.sum(g**2) for g in first(x, kernel)), (0, 1))
    return jax.jvp(function, (x, kernel), (jnp.cos(x), jnp.sin(kernel))), first(x, kernel), norm(x, kernel)


def assert_close(found: Any, expected: Any) -> None:
    def close(a: jax.Array, b: jax.Array) -> None:
        scale = float(np.max(np.abs(np.asarray(b, np.float32)), initial=1e-2))
        np.testing.assert_allclose(np.asarray(a, np.float32), np.asarray(b, np.float32), rtol=0, atol=1e-4 * scale)

    jax.tree.map(close, found, expected)


@st.composite
def calls(draw_from: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]:
    """Shapes and options of a call, in any order of axes, with the groups and dilations that occur in networks."""
    size, window = draw_from(st.integers(4, 9)), draw_from(st.integers(1, 3))
    groups = draw_from(st.sampled_from([1, 1, 2, 4, 8]))
    reads, writes = groups * draw_from(st.integers(1, 3)), groups * draw_from(st.integers(1, 3))
    options = {
        "window_strides": (draw_from(st.integers(1, 2)), draw_from(st.integers(1, 2))),
        "padding": draw_from(st.sampled_from([((0, 0), (0, 0)), ((1, 2), (0, 1))])),
        "lhs_dilation": (draw_from(st.integers(1, 2)), 1),
        "rhs_dilation": (1, draw_from(st.integers(1, 2))),
        "feature_group_count": groups,
    }
    lhs, rhs, out = (draw_from(st.permutations(letters)) for letters in ("NHWC", "HWIO", "NHWC"))
    options["dimension_numbers"] = tuple("".join(letters) for letters in (lhs, rhs, out))
    sizes = {"N": 2, "H": size, "W": size + 1, "C": reads}
    taps = {"H": window, "W": 2, "I": reads // groups, "O": writes}
    return tuple(sizes[letter] for letter in lhs), tuple(taps[letter] for letter in rhs), options


def prefer_others(plan: ConvPlan, operation: Operation, **_: Any) -> ConvChoice:
    """Selects any algorithm but XLA's own, whatever the estimates: the tests' arrays are too small for most."""
    task = task_of(plan, operation)
    for name, algorithm in reversed(ALGORITHMS.items()):
        if algorithm.why_not(task.plan, task.operation) is None:
            return ConvChoice(name, "preferred by the test")
    raise AssertionError("XLA's own convolution supports everything")


@pytest.fixture
def any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_choose, "choose", prefer_others)


@settings(
    max_examples=max(2, round(8 * SHARE)), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(call=calls())
def test_any_call_with_all_its_derivatives(any_size: None, call: Any) -> None:
    x_shape, kernel_shape, options = call
    x, kernel = draw(*x_shape), draw(*kernel_shape, seed=1)
    program = functools.partial(all_derivatives, functools.partial(lax.conv_general_dilated, **options))
    expected = jax.jit(program)(x, kernel)
    with accelerate():
        assert_close(jax.jit(program)(x, kernel), expected)


def test_it_is_undone() -> None:
    x, kernel = draw(1, 64, 64, 32), draw(3, 3, 1, 32)
    assert not is_taken_over(depthwise, x, kernel)
    with accelerate():
        assert is_taken_over(depthwise, x, kernel)
        with accelerate(False):
            assert not is_taken_over(depthwise, x, kernel)
        assert is_taken_over(depthwise, x, kernel)
    assert not is_taken_over(depthwise, x, kernel)
    jaxcnn.accelerate()
    assert is_taken_over(depthwise, x, kernel)
    jaxcnn.accelerate(False)
    assert not is_taken_over(depthwise, x, kernel)


class Net(flax.linen.Module):
    """Dense, depthwise and grouped convolutions of Flax, as in a user's model."""

    @flax.linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = flax.linen.tanh(flax.linen.Conv(16, (3, 3), strides=2)(x))
        x = flax.linen.tanh(flax.linen.Conv(16, (3, 3), feature_group_count=16)(x))
        x = flax.linen.tanh(flax.linen.Conv(16, (3, 3), strides=2, feature_group_count=4)(x))
        return flax.linen.Dense(5)(x.mean((-3, -2)))


NET = Net()
IMAGES = draw(8, 12, 12, 3)


@pytest.fixture(scope="module")
def variables() -> Any:
    return jax.jit(NET.init)(jax.random.key(0), IMAGES)


def loss(variables: Any, images: jax.Array) -> jax.Array:
    return jnp.mean(NET.apply(variables, images) ** 2)


def gradients(variables: Any, images: jax.Array) -> Any:
    return jax.grad(loss)(variables, images)


def per_example(variables: Any, images: jax.Array) -> Any:
    return jax.vmap(lambda image: gradients(variables, image[None]))(images)


def ensemble(variables: Any, images: jax.Array) -> Any:
    return jax.vmap(lambda scale: gradients(jax.tree.map(lambda a: scale * a, variables), images))(jnp.arange(1.0, 4))


def rematerialised(variables: Any, images: jax.Array) -> Any:
    return jax.grad(jax.checkpoint(loss))(variables, images)


def curvature(variables: Any, images: jax.Array) -> Any:
    """A Hessian-vector product, forward over reverse."""
    return jax.jvp(lambda v: gradients(v, images), (variables,), (jax.tree.map(jnp.cos, variables),))[1]


def sharded(variables: Any, images: jax.Array) -> Any:
    """``shard_map`` with its default checks; the function sums the gradients itself."""
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:4])
    specs = (PartitionSpec(), PartitionSpec("data"))

    @functools.partial(jax.shard_map, mesh=mesh, in_specs=specs, out_specs=PartitionSpec())
    def step(variables: Any, images: jax.Array) -> Any:
        return jax.grad(lambda v: lax.pmean(loss(v, images), "data"))(variables)

    return step(variables, images)


def mapped(variables: Any, images: jax.Array) -> Any:
    """``pmap`` over four devices."""
    step = jax.pmap(
        lambda v, x: lax.pmean(gradients(v, x), "data"), axis_name="data", in_axes=(None, 0), devices=jax.devices()[:4]
    )
    return jax.tree.map(lambda a: a[0], step(variables, images.reshape(4, 2, 12, 12, 3)))


PROGRAMS = [gradients, per_example, ensemble, rematerialised, curvature, sharded, mapped]


@pytest.mark.parametrize("program", default_rows(PROGRAMS, keep=[per_example]))
def test_a_flax_model_under_every_transform(any_size: None, program: Callable[..., Any], variables: Any) -> None:
    run = program if program is mapped else jax.jit(program)
    expected = run(variables, IMAGES)
    with accelerate():
        found = run(variables, IMAGES)
        text = jax.jit(program).lower(variables, IMAGES).as_text()
    assert_close(found, expected)
    assert text.count("stablehlo.convolution") != jax.jit(program).lower(variables, IMAGES).as_text().count(
        "stablehlo.convolution"
    )


def test_programs_that_xla_partitions_are_unchanged(variables: Any) -> None:
    """A loop over a split batch would gather it, so the text of the program does not change."""
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    images = jax.device_put(IMAGES, NamedSharding(mesh, PartitionSpec("data")))
    stock = jax.jit(gradients).lower(variables, images).as_text()
    with accelerate():
        assert jax.jit(gradients).lower(variables, images).as_text() == stock


def test_gradients_in_a_loop_have_the_order_of_axes_that_is_fast() -> None:
    x, kernel = jnp.asarray(draw(2, 9, 9, 3)), jnp.asarray(draw(3, 3, 3, 4, seed=1))

    def loss(kernel: jax.Array, x: jax.Array) -> jax.Array:
        y = lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return (y**2).sum()

    def program(kernel: jax.Array, x: jax.Array) -> Any:
        gradients = jax.grad(loss, argnums=(0, 1))
        return lax.scan(lambda total, scale: (total, gradients(kernel, x * scale)), 0, jnp.ones(2))[1]

    def orders() -> set[str]:
        text = str(jax.jit(lambda *a: program(*a)).lower(kernel, x).compile().as_text())
        return set(re.findall(r" convolution\(.*dim_labels=(\S+?)[, ]", text))

    assert orders() > {"b01f_01io->b01f"}  # XLA computes other convolutions slowly there too
    with accelerate():
        assert orders() == {"b01f_01io->b01f"}


def test_half_precision_but_not_with_a_wider_result() -> None:
    x, kernel = draw(1, 64, 64, 32), draw(3, 3, 1, 32)
    with accelerate():
        halves = jnp.asarray(x, jnp.bfloat16), jnp.asarray(kernel, jnp.bfloat16)
        assert is_taken_over(depthwise, *halves)
        assert depthwise(*halves).dtype == jnp.bfloat16
        wider = functools.partial(depthwise, preferred_element_type=jnp.float32)
        assert not is_taken_over(wider, *halves)


def test_export_for_several_platforms() -> None:
    """Each platform has its own algorithm: that of the CPU, and XLA's convolution for the TPU."""
    x, kernel = draw(1, 64, 64, 32), draw(3, 3, 1, 32)
    expected = depthwise(x, kernel)
    with accelerate():
        exported = jax.export.export(jax.jit(depthwise), platforms=("cpu", "tpu"))(x, kernel)
    assert_close(exported.call(x, kernel), expected)
    assert "stablehlo.convolution" in exported.mlir_module()


def test_an_unknown_jax_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lowering rules have a private name in JAX. Without that name there is a warning, and nothing changes."""
    _lax_rule.xla_rule.cache_clear()
    monkeypatch.setattr(mlir, "_platform_specific_lowerings", {}, raising=False)
    x, kernel = draw(1, 64, 64, 32), draw(3, 3, 1, 32)
    with pytest.warns(RuntimeWarning, match="keeps its lowering rules elsewhere than the releases known to jaxcnn"):
        accelerate()
    assert not is_taken_over(depthwise, x, kernel)
    accelerate(False)
    _lax_rule.xla_rule.cache_clear()


def test_the_rule_is_where_it_was_expected() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert _lax_rule.xla_rule() is not None


def test_a_mistake() -> None:
    with pytest.raises(
        TypeError, match=r"accelerate: enabled must be True or False, not 'off'\. To undo it: accelerate"
    ):
        accelerate("off")  # type: ignore[arg-type]
