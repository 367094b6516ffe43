"""Portable programs: equal to the network, with one operation for each of its convolutions and pools."""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen

from jaxcnn import ShapeError, models, nn, summary
from jaxcnn import functional as F
from jaxcnn._portable import is_portable, portable_operations
from jaxcnn.export import fold_batch_norms, portable
from tests.export.networks import DETECTORS, FAMILIES, difference, network, prepared
from tests.export.networks import program as program_of
from tests.tiers import default_rows

CONVOLUTIONS = ("CausalConv", "Conv", "ConvTranspose", "DepthwiseConv", "SparseConv", "Whitening")
KEPT = ["lenet5", "resnet20_cifar"]
GATE = pytest.mark.gate


@pytest.fixture(scope="module", autouse=True)
def strict_dtypes() -> Iterator[None]:
    """Restores standard promotion: Flax mixes dtypes in its layer norm."""
    yield


@functools.cache
def computed(name: str) -> Any:
    chosen = network(name)
    return jax.jit(chosen.function)(chosen.images)


def test_every_family_is_tried() -> None:
    kinds = [{type(models.create(name)) for name in names} for names in (models.list_models(), FAMILIES)]
    assert kinds[0] == kinds[1]


@pytest.mark.parametrize("name", default_rows([*FAMILIES], keep=KEPT))
def test_every_family(name: str) -> None:
    chosen, portable_program = network(name), program_of(name)
    assert difference(computed(name), portable_program(chosen.images)) < 1e-5
    counts = portable_program.counts
    if name in ("cifar_speedrun", "inception_time"):  # norms after a maximum and after a concatenation
        assert not {"sub", "rsqrt", "add" if name == "cifar_speedrun" else "mul"} & set(counts)
    # Some layers of the neocognitron have several convolutions each; the other networks call some layers several times.
    if name not in ("neocognitron", "farabet_multiscale", *DETECTORS):
        layers = summary(chosen.model, (1, *chosen.shape)).layers
        expected = sum(layer.kind in CONVOLUTIONS for layer in layers)
        assert counts["conv_general_dilated"] == expected
    assert not {"conv", "custom_jvp_call", "jit"} & set(counts)
    if name not in ("farabet_multiscale", "two_stream", *DETECTORS):  # these networks select entries by their values
        assert not {"gather", "select_n"} & set(counts)


WITH_NORMS = [name for name, (*_, left) in FAMILIES.items() if left is not None]


@pytest.mark.parametrize("name", default_rows(WITH_NORMS, keep=KEPT[1:2]))
def test_batch_norms_are_folded(name: str) -> None:
    chosen = network(name)
    folded, variables = fold_batch_norms(chosen.model, chosen.variables, (1, *chosen.shape))
    assert difference(computed(name), jax.jit(folded.apply)(variables, chosen.images)) < 1e-5
    assert len(jax.tree.leaves(variables.get("batch_stats", {}))) // 2 == FAMILIES[name][2]
    if FAMILIES[name][2] == 0:
        assert (
            not {"rsqrt", "sub", "mul"} & set(program_of(name).counts) or name == "efficientnet_b0"
        )  # silu contains a product


def test_norms_that_cannot_be_folded_stay() -> None:
    class Shared(linen.Module):
        @linen.compact
        def __call__(self, x: jax.Array) -> jax.Array:
            norm = functools.partial(nn.BatchNorm, use_running_average=True)
            x = nn.Conv(4, (3, 3), name="conv1")(norm(name="before")(x))
            y = norm(name="read_twice")(x) + x
            z = nn.ConvTranspose(4, (2, 2), (2, 2), transpose_kernel=True, use_bias=False, name="up")(y)
            return norm(name="folded")(z)

    generator = np.random.default_rng(1)
    model, x = Shared(), generator.normal(size=(2, 6, 6, 4)).astype(np.float32)
    variables = jax.tree.map(
        lambda kind: generator.uniform(0.5, 2, kind.shape).astype(np.float32),
        jax.eval_shape(model.init, jax.random.key(0), x),
    )
    folded, fewer = fold_batch_norms(model, variables, x.shape)
    assert sorted(fewer["batch_stats"]) == ["before", "read_twice"]
    assert sorted(fewer["params"]["up"]) == ["bias", "kernel"]
    expected = jax.jit(model.apply)(variables, x)
    assert difference(expected, jax.jit(folded.apply)(fewer, x)) < 1e-5
    program = portable(functools.partial(model.apply, variables), x.shape)
    assert difference(expected, program(x)) < 1e-5
    assert program.counts["conv_general_dilated"] == 2


class _Unit(linen.Module):
    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.BatchNorm(use_running_average=True)(nn.Conv(3, (3, 3))(x))


class _Standardised(nn.Conv):
    """Kernels whose output channels have the standard deviation 1."""

    @linen.compact
    def __call__(self, x: Any) -> jax.Array:
        kernel = self.param("kernel", self.kernel_init, (*self.kernel_size, x.shape[-1], self.features))
        return F.conv(x, kernel / kernel.std((0, 1, 2), keepdims=True))


class _Computed(linen.Module):
    kind: str

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        if self.kind == "remat":
            return linen.remat(_Unit)()(x)
        if self.kind == "several":
            axes: dict[str, Any] = {"params": 0, "batch_stats": 0}
            both = linen.vmap(_Unit, variable_axes=axes, split_rngs={"params": True}, in_axes=None, axis_size=2)
            return both()(x).sum(0)
        layer = linen.WeightNorm(nn.Conv(3, (3, 3))) if self.kind == "normalised" else _Standardised(3, (3, 3))
        return nn.BatchNorm(use_running_average=True)(layer(x))


@pytest.mark.parametrize(
    ("kind", "left"), [("remat", 0), ("normalised", 1), ("standardised", 1), pytest.param("several", 1, marks=GATE)]
)
def test_a_norm_is_folded_into_a_parameter_only(kind: str, left: int) -> None:
    """If a kernel were computed from the parameter, folding into the parameter would lose the factor."""
    small = prepared(_Computed(kind), (5, 5, 2))
    folded, variables = fold_batch_norms(small.model, small.variables, (1, *small.shape))
    assert len(folded.pairs) == 1 - left and ("batch_stats" in variables) == bool(left)
    expected = jax.jit(small.function)(small.images)
    assert difference(expected, jax.jit(folded.apply)(variables, small.images)) < 1e-5


def test_a_folded_model_is_for_evaluation() -> None:
    chosen = network("resnet20_cifar")
    folded, variables = fold_batch_norms(chosen.model, chosen.variables, (1, *chosen.shape))
    with pytest.raises(ValueError, match="folded batch norms have fixed statistics, so train must be False"):
        folded.apply(variables, chosen.images, train=True)
    maps = jax.eval_shape(functools.partial(folded.apply, method="features"), variables, chosen.images)
    assert maps["logits"].shape == (2, 4)
    with pytest.raises(TypeError, match="fold_batch_norms: expected a Flax Linen module, but got an object of dict"):
        fold_batch_norms({}, {}, (1, 2))  # type: ignore[arg-type]


POOLS: dict[str, tuple[Callable[[jax.Array], jax.Array], str]] = {
    "max": (lambda x: F.max_pool(x, (3, 3), strides=2, padding="SAME"), "reduce_window_max"),
    "max of many": (lambda x: F.max_pool(x, (6, 5), strides=(1, 2), padding=2), "reduce_window_max"),
    "min": (lambda x: F.min_pool(x, (2, 2), strides=2, ceil_mode=True), "reduce_window_min"),
    "average": (lambda x: F.avg_pool(x, (2, 3), strides=2, padding=1), "average_window"),
    "average with padding": (
        lambda x: F.avg_pool(x, (3, 3), strides=1, padding=1, count_include_pad=True),
        "average_window",
    ),
    "adaptive": (lambda x: F.adaptive_avg_pool(x, (2, 1)), "average_window"),
    "adaptive max": (lambda x: F.adaptive_max_pool(x, (2, 1)), "reduce_window_max"),
    "global": (lambda x: F.global_avg_pool(x, spatial_ndim=2), "mean"),
    "response norm": (lambda x: F.local_response_norm(x, size=3, k=1.5, alpha=0.2), "local_response_norm"),
    "relu6": (jax.nn.relu6, "clamp"),
}


@pytest.mark.parametrize("name", default_rows(list(POOLS), keep=list(POOLS)[::3]))
def test_pools_are_one_operation(name: str) -> None:
    function, operation = POOLS[name]
    x = np.random.default_rng(2).normal(size=(2, 8, 7, 3)).astype(np.float32) * 4
    program = portable(function, x.shape)
    np.testing.assert_allclose(program(x), jax.jit(function)(x), rtol=1e-5, atol=1e-6)
    assert program.counts == {operation: 1}


def test_what_has_no_channels_is_multiplied_as_well() -> None:
    """A scalar for the whole batch, and one number for each example of a batch of any size."""
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    program = portable(lambda x: 0.5 * x.sum(-1), (None, 3))
    np.testing.assert_allclose(program(x), 0.5 * x.sum(-1))
    program = portable(lambda x: x - 0.5 * x.sum(), (2, 3))
    np.testing.assert_allclose(program(x), x - 0.5 * x.sum())


def test_tracing_leaves_the_caches_of_jit_alone() -> None:
    """A portable program traces the inner ``jit`` again, and leaves its cached trace unchanged."""
    pool = jax.jit(lambda x: F.max_pool(x, (2, 2), strides=2))
    x = jnp.ones((1, 4, 4, 1))

    def operations() -> str:
        return str(jax.make_jaxpr(lambda x: pool(x))(x))

    before = operations()
    # the algorithm that depends on the platform, which is not part of a portable program
    assert "platform_index" in before
    assert portable(lambda x: pool(x), x.shape).counts == {"reduce_window_max": 1}
    assert operations() == before and not is_portable()
    with portable_operations():
        assert is_portable()


def test_preprocessing_is_inside() -> None:
    images = np.random.default_rng(3).integers(0, 256, (2, 12, 10, 3)).astype(np.uint8)
    mean, std = [0.4, 0.5, 0.6], [0.2, 0.3, 0.1]
    program = portable(
        lambda x: x.sum(-1), (None, 12, 10, 3), dtype="uint8", to_unit=True, resize=(6, 5), mean=mean, std=std
    )
    assert program(images).shape == (2, 6, 5)
    # The weights 1 3 3 1 over four pixels, as in an antialiased reduction by two; compared away from the edges.
    weights = np.array([1, 3, 3, 1]) / 8
    patch = images[:, 1:5, 1:5].astype(np.float64) / 255
    expected = ((np.einsum("nhwc,h,w->nc", patch, weights, weights) - mean) / std).sum(-1)
    np.testing.assert_allclose(program(images)[:, 1, 1], expected, rtol=1e-4)


def test_series_are_prepared_as_well() -> None:
    x, mean = np.random.default_rng(3).normal(size=(2, 5, 3)).astype(np.float32), [1.0, 2.0, 3.0]
    program = portable(lambda x: x, (None, 5, 3), mean=mean, std=2)
    np.testing.assert_allclose(program(x), (x - mean) / 2, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        (
            {"input_shape": (1, None, 3)},
            ShapeError,
            "portable: only the first entry of input_shape, the batch, may be None",
        ),
        ({"input_shape": (1, 0, 3)}, ShapeError, "portable: the sizes of input_shape must be at least 1"),
        ({"input_shape": (1, 4, 4, 3), "resize": (3,)}, ShapeError, r"portable: resize must be \(height, width\)"),
        ({"input_shape": (1, 4, 3), "resize": (3, 3)}, ShapeError, r"only images \(batch, .* resized; got \(1, 4, 3\)"),
        ({"input_shape": (1, 4, 4, 3), "mean": [1, 2]}, ShapeError, r"portable: mean must have one entry, or one for"),
        ({"input_shape": (1, 4, 4, 3), "std": 0}, ValueError, "portable: std must be positive and finite"),
    ],
)
def test_refused_options(options: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        portable(lambda x: x, **options)


@pytest.mark.parametrize("sign", [1, -1])
def test_factors_move_through_concatenations_and_maxima(sign: int) -> None:
    generator = np.random.default_rng(8)
    first, second = (generator.normal(size=(3, 3, 2, 3)).astype(np.float32) for _ in range(2))
    factors = sign * generator.uniform(0.5, 2, (1, 1, 1, 6)).astype(np.float32)

    def function(x: jax.Array) -> jax.Array:
        pooled = F.max_pool(F.conv(x, first), (3, 3), strides=2, padding="SAME")
        both = jnp.concatenate([pooled, F.conv(x, second, strides=2)], -1)
        return jax.nn.relu((both - 0.3) * factors + 0.1)

    x = generator.normal(size=(2, 7, 7, 2)).astype(np.float32)
    program = portable(function, x.shape)
    np.testing.assert_allclose(program(x), jax.jit(function)(x), rtol=1e-5, atol=1e-5)
    left = {"add", "sub", "mul"} & set(program.counts)
    assert left == (set() if sign > 0 else {"mul", "add"})


def test_a_batch_of_any_size_may_be_refused() -> None:
    """A loop over the images and a comparison with their number require a fixed batch size."""
    for function in (
        lambda x: jnp.stack([x[i] for i in range(x.shape[0])]),
        lambda x: x if x.shape[0] > 4 else 2 * x,
    ):
        with pytest.raises(
            ValueError, match=r"portable: this function requires the number of examples .* in place of N"
        ):
            portable(function, (None, 3))
    with pytest.raises(TypeError, match="mine"):
        portable(_fails, (None, 3))


def _fails(x: jax.Array) -> jax.Array:
    raise TypeError("mine")


def test_dtypes_are_those_of_arrays_and_fields_have_their_names() -> None:
    class Boxes(NamedTuple):
        corners: jax.Array
        scores: jax.Array

    program = portable(lambda x: Boxes(2 * x, x[:, 0]), (2, 3), dtype=np.float64)
    assert program.input.dtype == np.float32 and program.exported.in_avals[0].dtype == np.float32
    assert program.result_names == ["corners", "scores"]


def test_layers_are_named() -> None:
    class Inner(linen.Module):
        @linen.compact
        def __call__(self, x: jax.Array) -> jax.Array:
            return linen.Sequential([nn.Conv(2, (1, 1), name="first")])(x)

    small = prepared(Inner(), (4, 4, 1))
    program = portable(small.function, (1, *small.shape))
    assert [operation.layer for operation in program.operations] == ["Sequential_0/first"]
    assert repr(program) == "PortableProgram(float32[1,4,4,1]: 1 conv_general_dilated)"
