"""The experiments with photographs and boxes, on two images that the tests write."""

import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import models
from jaxcnn.train._dry_run import dry_run
from tests.data.annotated_files import COCO, write_coco, write_voc
from tests.models.test_torch_weights import generated, shapes_here
from tests.train.test_small_experiments import built, file_of

CELLS = {
    "one": (64, 48, [("RBC", 1, 2, 25, 30, 0), ("WBC", 4, 4, 60, 40, 0)]),
    "two": (64, 48, [("Platelets", 2, 1, 16, 10, 0)]),
}


@pytest.mark.gate
def test_the_experiment_with_blood_cells_is_sound(tmp_path: Path) -> None:
    lists = {"train": ["one", "two"], "val": ["two"], "test": ["one"]}
    folder = write_voc(tmp_path / "bccd", CELLS, lists)
    small: dict[str, Any] = {"height": 48, "width": 2, "channels": 4, "hidden": 4, "batch_size": 2}
    experiment = built("faster_rcnn_bccd", folder=str(folder), **small)
    dry_run(experiment)
    assert experiment.data.class_names == ("background", "RBC", "WBC", "Platelets")
    assert experiment.data.train["image"].shape == (2, 48, 64, 3) and experiment.data.validation is not None


@pytest.mark.gate
def test_the_recipe_for_coco_is_sound(tmp_path: Path) -> None:
    folder = tmp_path / "annotations"
    write_coco(tmp_path, COCO).rename(tmp_path / "boxes")
    folder.mkdir()
    for year in ("train2017", "val2017"):
        (tmp_path / year).symlink_to(tmp_path / "images")
        (folder / f"instances_{year}.json").write_bytes((tmp_path / "boxes").read_bytes())
    experiment = built("faster_rcnn_coco", folder=str(tmp_path), image_size=32, batch_size=2, epochs=13, warmup_steps=4)
    state = dry_run(experiment)
    assert state.params["predictor"]["classes"]["bias"].shape == (3,)


@pytest.mark.gate
def test_the_backbone_of_the_recipe_is_the_classifier_with_its_norms() -> None:
    with_backbone = file_of("faster_rcnn_coco").build_function.__globals__["with_backbone"]
    tiny: dict[str, Any] = {"stage_sizes": (1, 1, 1, 1), "width": 4}
    model = models.create("fasterrcnn_resnet50_fpn", backbone=functools.partial(models.ResNetPyramid, **tiny))
    fresh = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    assert with_backbone(None, fresh) is fresh
    state = generated(shapes_here("resnet50", **tiny))
    load = functools.partial(models.load_torch, **tiny)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "load_torch", load)
        found = with_backbone(state, fresh)
    assert jax.tree.map(jnp.shape, found) == jax.tree.map(jnp.shape, fresh)
    norm = found["batch_stats"]["backbone"]["body"]["stage4_block0"]["norm3"]
    for ours, theirs in (("scale", "weight"), ("bias", "bias"), ("mean", "running_mean"), ("var", "running_var")):
        np.testing.assert_array_equal(norm[ours], state[f"layer4.0.bn3.{theirs}"])
    kernel = found["params"]["backbone"]["body"]["stem_conv"]["kernel"]
    np.testing.assert_array_equal(kernel, state["conv1.weight"].transpose(2, 3, 1, 0))
    assert found["params"]["head"] == fresh["params"]["head"]
