"""Running metrics under ``jit``, ``scan`` and ``psum``: batch by batch they equal those of all examples at once."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import ShapeError, metrics
from jaxcnn.metrics import BinnedRanking

PARTS, EACH, CLASSES = 8, 25, 4


def states() -> dict[str, Any]:
    return {
        "mean": metrics.Mean.empty(),
        "matrix": metrics.ConfusionMatrix.empty(CLASSES),
        "calibration": metrics.Calibration.empty(num_bins=7),
        "ranking": metrics.ScoreHistogram.empty(num_bins=50, shape=(CLASSES,)),
    }


def updated(states: dict[str, Any], labels: jax.Array, scores: jax.Array, weights: jax.Array) -> dict[str, Any]:
    classes = labels[:, None] == jnp.arange(CLASSES)[None]
    return {
        "mean": states["mean"].update(metrics.in_top_k(labels, scores, k=2), weights=weights),
        "matrix": states["matrix"].update(labels, scores.argmax(-1), weights=weights),
        "calibration": states["calibration"].update(labels, scores, weights=weights),
        "ranking": states["ranking"].update(classes, scores, weights=weights),
    }


def drawn() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, CLASSES, PARTS * EACH)
    scores = generator.dirichlet(np.ones(CLASSES), PARTS * EACH).astype(np.float32)
    weights = generator.integers(0, 2, PARTS * EACH).astype(np.float32)
    scores[weights == 0] = np.nan  # padding has no influence, whatever its values
    return labels, scores, weights


@pytest.mark.gate
def test_batches_scans_merges_and_devices_agree() -> None:
    arrays = drawn()
    parts = [array.reshape(PARTS, EACH, *array.shape[1:]) for array in arrays]
    mesh = jax.make_mesh((PARTS,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    split = jax.sharding.PartitionSpec("data")

    @jax.jit
    def every(arrays: Any, parts: Any) -> dict[str, Any]:
        def step(carried: Any, batch: Any) -> Any:
            return updated(carried, *batch), None

        def on_device(*share: jax.Array) -> Any:
            start = jax.tree.map(lambda leaf: jax.lax.pcast(leaf, "data", to="varying"), states())
            return jax.lax.psum(updated(start, *share), "data")

        halves = [updated(states(), *(array[part] for array in arrays)) for part in (slice(60), slice(60, None))]
        merged = {name: halves[0][name].merge(halves[1][name]) for name in halves[0]}
        shared = jax.shard_map(on_device, mesh=mesh, in_specs=split, out_specs=jax.sharding.PartitionSpec())
        found = {
            "at once": updated(states(), *arrays),
            "scan": jax.lax.scan(step, states(), tuple(parts))[0],
            "merge": merged,
            "devices": shared(*arrays),
        }
        return {way: {name: state.compute() for name, state in each.items()} for way, each in found.items()}

    got = jax.device_get(every(arrays, parts))
    for way in ("scan", "merge", "devices"):
        for one, two in zip(jax.tree.leaves(got[way]), jax.tree.leaves(got["at once"]), strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-7, err_msg=way)
    labels, scores, _ = (array[arrays[2] > 0] for array in arrays)
    np.testing.assert_allclose(got["at once"]["mean"], metrics.top_k_accuracy(labels, scores, k=2), rtol=1e-6)
    np.testing.assert_array_equal(
        got["at once"]["matrix"], metrics.confusion_matrix(labels, scores.argmax(-1), num_classes=CLASSES)
    )


def test_an_explicit_mesh_gives_what_one_device_gives() -> None:
    arrays, mesh = drawn(), jax.make_mesh((PARTS,), ("data",), axis_types=(jax.sharding.AxisType.Explicit,))

    @jax.jit
    def computed(*arrays: jax.Array) -> dict[str, Any]:
        labels, scores, weights = arrays
        found = {name: state.compute() for name, state in updated(states(), *arrays).items()}
        return found | {
            "area": metrics.roc_auc(labels == 0, scores[:, 0], weights=weights),
            "neighbours": metrics.nearest_neighbour_accuracy(labels, scores, database_labels=[2, 0, 0, 1], k=2),
        }

    expected = jax.device_get(computed(*arrays))
    with jax.set_mesh(mesh):
        sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
        got = jax.device_get(computed(*(jax.device_put(array, sharding) for array in arrays)))
    for one, two in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-7)


def test_counts_go_on_after_the_end_of_float32() -> None:
    """Float32 cannot represent 2**24 + 1; a sum of 30,000,001 ones is exact, also split over several states."""
    million = jnp.full((10,), 1.5e6)

    @jax.jit
    def counted() -> Any:
        mean = metrics.Mean.empty()
        for _ in range(2):
            mean = mean.update(million)
        for _ in range(3):
            mean = mean.update(jnp.ones(1))
        matrix = metrics.ConfusionMatrix.empty(1).update([0], [0], weights=jnp.array([3e7]))
        for _ in range(3):
            matrix = matrix.update([0], [0])
        return mean, mean.merge(mean), matrix

    mean, twice, matrix = counted()

    def exact(state: Any) -> float:
        return np.asarray(state.rounded, np.float64).item() + np.asarray(state.error, np.float64).item()

    assert np.float32(3e7) + np.float32(1) == np.float32(3e7)
    assert exact(mean.total) == 30_000_003 and exact(twice.total) == 60_000_006
    assert exact(matrix.counts) == 30_000_003


def test_an_infinite_value_stays_infinite() -> None:
    """The PSNR of an image that is equal to its reference."""
    assert metrics.Mean.empty().update(jnp.array([1.0, jnp.inf])).update(jnp.array([2.0])).compute() == jnp.inf


def test_calibration_against_loops() -> None:
    labels, scores, weights = drawn()
    labels, scores = labels[weights > 0], scores[weights > 0]
    weights = np.random.default_rng(1).random(len(labels)).astype(np.float32)
    confidence, right = scores.max(1).astype(np.float64), scores.argmax(1) == labels
    expected, gaps = 0.0, []
    for low in range(7):
        chosen = (confidence > low / 7) & (confidence <= (low + 1) / 7)
        if chosen.any():
            gap = np.average(right[chosen], weights=weights[chosen]) - np.average(
                confidence[chosen], weights=weights[chosen]
            )
            expected, gaps = expected + weights[chosen].sum() / weights.sum() * abs(gap), [*gaps, abs(gap)]
    found = metrics.Calibration.empty(num_bins=7).update(labels, scores, weights=weights).compute()
    np.testing.assert_allclose([found.expected_error, found.maximum_error], [expected, max(gaps)], rtol=1e-5)
    got = metrics.expected_calibration_error(labels, scores, num_bins=7, weights=weights)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_a_bin_of_calibration_contains_its_upper_end() -> None:
    edges = np.array([[0.5, 0.5], [0.75, 0.25], [1.0, 0.0]], np.float32)
    found = metrics.Calibration.empty(num_bins=4).update([0, 0, 0], edges).compute()
    assert found.weight.tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: metrics.Calibration.empty(num_bins=0), ValueError, r"^\w+.empty: num_bins=0 must be at least 1"),
        (lambda: metrics.Calibration.empty(num_bins=2.5), TypeError, r"num_bins .*integer, not 2.5"),
        (lambda: metrics.ScoreHistogram.empty(num_bins=0), ValueError, r"^\w+.empty: num_bins=0 must be at least 1"),
        (lambda: metrics.ScoreHistogram.empty(num_bins="4"), TypeError, r"num_bins .*integer, not '4'"),
        (lambda: metrics.ScoreHistogram.empty(low=1, high=1), ValueError, r"low=1 must be below high=1, and both fin"),
        (
            lambda: metrics.ScoreHistogram.empty(shape=(3,)).update(np.zeros((5, 2), int), np.zeros((5, 2))),
            ShapeError,
            r"^ScoreHistogram.update: scores must have the shape \('n', 3\), an axis .* scores.shape=\(5, 2\)",
        ),
        (
            lambda: metrics.ScoreHistogram.empty(low=-1).merge(metrics.ScoreHistogram.empty()),
            ShapeError,
            r"two histograms with different bins, limits or shapes cannot be merged",
        ),
        (
            lambda: metrics.ConfusionMatrix.empty(3).merge(metrics.ConfusionMatrix.empty(1)),
            ShapeError,
            r"^ConfusionMatrix.merge: states of the shapes \(3, 3\) and \(1, 1\) cannot be merged",
        ),
        (
            lambda: metrics.Calibration.empty(num_bins=1).merge(metrics.Calibration.empty(num_bins=15)),
            ShapeError,
            r"^Calibration.merge: states of the shapes \(1,\) and \(15,\) cannot be merged",
        ),
    ],
)
def test_refusals(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_a_state_is_a_pytree_of_sums() -> None:
    for state in states().values():
        leaves, structure = jax.tree.flatten(state)
        assert all(isinstance(leaf, jax.Array) for leaf in leaves)
        assert jax.tree.structure(jax.tree.unflatten(structure, leaves)) == structure
    assert isinstance(states()["ranking"].compute(), BinnedRanking)


@pytest.mark.gate
def test_one_update_counts_more_than_float32_can() -> None:
    """A float32 that has reached 2**24 does not change when 1 is added."""
    count = 2**24 + 1000
    zeros = jnp.zeros(count, jnp.int8)
    assert int(metrics.ConfusionMatrix.empty(1).update(zeros, zeros).compute()[0, 0]) == count
    histogram = metrics.ScoreHistogram.empty(num_bins=2).update(zeros, zeros.astype(jnp.float32))
    np.testing.assert_array_equal(histogram.negative.value(), [count, 0])


def test_parts_of_an_update_are_added(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, scores, weights = (jnp.asarray(each) for each in drawn())
    whole = jax.tree.leaves(updated(states(), labels, scores, weights))
    monkeypatch.setattr("jaxcnn.metrics._counts.MOST_AT_ONCE", 7)
    for part, expected in zip(jax.tree.leaves(updated(states(), labels, scores, weights)), whole, strict=True):
        np.testing.assert_allclose(part, expected, rtol=1e-6, atol=1e-5)


def test_integers_of_64_bits_are_not_cut() -> None:
    found = metrics.iou(np.array([[3_000_000_000, 5], [7, 10]]))
    np.testing.assert_allclose(found, [3e9 / (3e9 + 12), 10 / 22], rtol=1e-6)
    with pytest.raises(ValueError, match=r"labels has the class 4294967299, which does not fit into 32 bits"):
        metrics.accuracy(np.array([2**32 + 3]), np.array([3]))
    assert metrics.accuracy(np.array([3], np.uint64), np.array([3])) == 1


def test_a_confidence_that_is_not_a_number_is_in_both_errors() -> None:
    found = metrics.Calibration.empty(num_bins=4).update([0, 1], [[0.9, 0.1], [np.nan, np.nan]]).compute()
    assert np.isnan(found.expected_error) and np.isnan(found.maximum_error)
