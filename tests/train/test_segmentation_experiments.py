"""The segmentation experiments: measurements after training, and the pretrained backbone of one experiment."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import models
from jaxcnn.train._runs._discover import load_experiment
from jaxcnn.train._state import create_state
from jaxcnn.train._trained import Trained

EXPERIMENTS = Path(__file__).parent.parent.parent / "experiments"


@pytest.mark.gate
def test_each_repetition_and_each_class_are_measured() -> None:
    file = load_experiment(EXPERIMENTS / "segment_digits.py")
    config = file.config_class(network="refinement", digits="digits", photographs="digits", scenes=16, width=2)
    experiment = file.build(config)
    few = dataclasses.replace(experiment.data, test=experiment.data.test.take(slice(12)))
    experiment = dataclasses.replace(experiment, data=few)
    trained = Trained(experiment, create_state(experiment).eval_variables, step=0)
    found, summary = trained.measured(), trained.evaluate()
    assert found["iou_of_classes"].shape == (11,) and found["mean_iou_of_repetitions"].shape == (3,)
    assert found["mean_iou_of_repetitions"][-1] == pytest.approx(summary["mean_iou"], abs=1e-5)
    assert np.nanmean(found["iou_of_classes"]) == pytest.approx(summary["mean_iou"], abs=1e-5)
    assert len(set(found["mean_iou_of_repetitions"].tolist())) > 1


@pytest.mark.gate
def test_deeplab_starts_from_a_whole_resnet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every layer of the backbone, and no other layer, is replaced by a layer of the same shape."""
    with_backbone = load_experiment(EXPERIMENTS / "deeplabv3_voc.py").build_function.__globals__["with_backbone"]
    image = jnp.zeros((2, 33, 33, 3))

    def shapes(name: str, **options: Any) -> Any:
        init = functools.partial(models.create(name, **options).init, train=False)
        return jax.eval_shape(init, jax.random.key(0), image)

    resnet = jax.tree.map(lambda leaf: (leaf.shape, "trained"), shapes("resnet50"))
    deeplab = jax.tree.map(lambda leaf: (leaf.shape, "new"), shapes("deeplabv3_resnet50", aux_head=True))
    monkeypatch.setattr(models, "load_torch", lambda name, path: (None, resnet))
    mixed = with_backbone("file.pth", deeplab)
    leaves = jax.tree_util.tree_leaves_with_path(mixed, is_leaf=lambda leaf: isinstance(leaf, tuple))
    before = jax.tree_util.tree_leaves_with_path(deeplab, is_leaf=lambda leaf: isinstance(leaf, tuple))
    assert [(path, leaf[0]) for path, leaf in leaves] == [(path, leaf[0]) for path, leaf in before]
    for path, (_, origin) in leaves:
        assert (origin == "trained") == ("backbone" in str(path)), path
    assert with_backbone(None, deeplab) is deeplab
