"""Classification with localisation: losses and measures equal NumPy's, and an image with two objects is refused."""

from typing import Any

import jax
import numpy as np
import pytest
from flax import linen as nn

from jaxcnn import ShapeError
from jaxcnn.train import localisation

HEIGHT, WIDTH, CLASSES, COUNT = 6, 8, 3, 5


class Fixed(nn.Module):
    """Outputs that are parameters, whatever the images are."""

    outputs: int = CLASSES + 4

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        return self.param("out", nn.initializers.normal(1.0), (len(x), self.outputs))


def batch() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    low = rng.uniform(0, [WIDTH / 2, HEIGHT / 2], (COUNT, 2))
    high = low + rng.uniform(1, [WIDTH / 2, HEIGHT / 2], (COUNT, 2))
    return {
        "image": np.zeros((COUNT, HEIGHT, WIDTH, 1), np.uint8),
        "boxes": np.concatenate([low, high], -1).astype(np.float32)[:, None],
        "box_label": rng.integers(0, CLASSES, (COUNT, 1)).astype(np.int32),
    }


def boxes_of(deltas: np.ndarray) -> np.ndarray:
    """For each image, the box relative to a centred box with half of the image's sides, by the definition."""
    centre = np.array([WIDTH / 2, HEIGHT / 2]) + deltas[:, :2] * [WIDTH / 2, HEIGHT / 2]
    sides = np.exp(deltas[:, 2:]) * [WIDTH / 2, HEIGHT / 2]
    return np.concatenate([centre - sides / 2, centre + sides / 2], -1)


def overlaps(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """IoU and generalised IoU of two boxes."""

    def area(x0: float, y0: float, x1: float, y1: float) -> float:
        return max(x1 - x0, 0) * max(y1 - y0, 0)

    shared = area(max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3]))
    around = area(min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3]))
    union = area(*a) + area(*b) - shared
    return shared / union, shared / union - (around - union) / around


@pytest.mark.parametrize("box_loss", ["giou", "smooth_l1"])
def test_losses_and_measures_are_those_of_numpy(box_loss: Any) -> None:
    functions, given = localisation(Fixed(), box_loss=box_loss, box_weight=0.5), batch()
    variables = functions["init"](jax.random.key(1), given)
    outputs = np.asarray(variables["params"]["out"], np.float64)
    logits, deltas = outputs[:, :-4], outputs[:, -4:]
    found, label, box = boxes_of(deltas), given["box_label"][:, 0], given["boxes"][:, 0].astype(np.float64)
    both = [overlaps(a, b) for a, b in zip(found, box, strict=True)]
    entropy = np.log(np.exp(logits).sum(-1)) - logits[np.arange(COUNT), label]
    if box_loss == "giou":
        of_box = np.array([1 - generalised for _, generalised in both])
    else:
        half = np.array([WIDTH / 2, HEIGHT / 2])
        centre, sides = (box[:, :2] + box[:, 2:]) / 2, box[:, 2:] - box[:, :2]
        error = np.abs(deltas - np.concatenate([(centre - half) / half, np.log(sides / half)], -1))
        of_box = np.where(error < 1, error**2 / 2, error - 0.5).sum(-1)
    right = logits.argmax(-1) == label
    iou = np.array([overlap for overlap, _ in both])
    wanted = {
        "loss": entropy + 0.5 * of_box,
        "accuracy": right,
        "iou": iou,
        "localised": right & (iou >= 0.5),
    }
    measures = jax.jit(functions["evaluate"])(variables, given)
    assert measures.keys() == wanted.keys()
    for name, values in wanted.items():
        np.testing.assert_allclose(measures[name], values, rtol=1e-4, atol=1e-5, err_msg=name)
    loss, aux = jax.jit(functions["objective"])(variables, given, jax.random.key(0))
    np.testing.assert_allclose(loss, wanted["loss"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(aux.metrics["iou"], iou, rtol=1e-4, atol=1e-5)
    predictions = jax.jit(functions["predict"])(variables, given)
    clipped = np.clip(found, 0, [WIDTH, HEIGHT, WIDTH, HEIGHT])
    np.testing.assert_allclose(predictions["boxes"], clipped, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(predictions["probabilities"].sum(-1), 1, rtol=1e-5)


def test_the_box_of_the_loss_moves_towards_the_object() -> None:
    functions, given = localisation(Fixed()), batch()
    variables = functions["init"](jax.random.key(1), given)

    def step(index: jax.Array, variables: Any) -> Any:
        grads = jax.grad(lambda variables: functions["objective"](variables, given, jax.random.key(0))[0].sum())
        rate = 0.1 * (1 - index / 1000)
        return jax.tree.map(lambda leaf, grad: leaf - rate * grad, variables, grads(variables))

    evaluate = jax.jit(functions["evaluate"])
    before = evaluate(variables, given)
    after = evaluate(jax.jit(lambda v: jax.lax.fori_loop(0, 1000, step, v))(variables), given)
    assert float(after["iou"].min()) > 0.8 > float(before["iou"].mean())
    assert float(after["localised"].min()) == 1


def test_several_objects_few_outputs_and_other_losses_are_refused() -> None:
    functions, given = localisation(Fixed()), batch()
    variables = functions["init"](jax.random.key(0), given)
    more = {**given, "boxes": np.zeros((COUNT, 2, 4), np.float32), "box_label": np.zeros((COUNT, 2), np.int32)}
    with pytest.raises(ShapeError, match=r"expected one object on each image, 'box_label' .* \(5, 2\) and \(5, 2, 4"):
        functions["evaluate"](variables, more)
    few = localisation(Fixed(outputs=4))
    with pytest.raises(ShapeError, match=r"expected a model that gives \(batch, classes \+ 4\), .* got \(5, 4\)"):
        few["evaluate"](few["init"](jax.random.key(0), given), given)
    with pytest.raises(ValueError, match=r"localisation: box_loss='l2' is not known"):
        localisation(Fixed(), box_loss="l2")  # type: ignore[arg-type]


def test_labels_and_boxes_of_scenes_fit() -> None:
    from jaxcnn import data

    digits = data.load("digits", image_size=16)
    scenes = data.digit_scenes(digits, digits, size=32, train_count=4, test_count=2, most=1).train
    functions = localisation(Fixed(outputs=11 + 4))
    variables = functions["init"](jax.random.key(0), scenes.arrays)
    measures = jax.jit(functions["evaluate"])(variables, dict(scenes.arrays))
    assert measures["iou"].shape == (4,)
