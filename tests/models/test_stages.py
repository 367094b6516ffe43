"""Options with one entry for each stage: other lengths and other entries are refused by name."""

from typing import Any

import jax
import jax.numpy as jnp
import pytest

from jaxcnn import models

REFUSED: list[tuple[str, dict[str, Any], type[Exception], str]] = [
    (
        "r3d_18",
        {"stage_sizes": (2, 2)},
        ValueError,
        r"VideoResNet: kinds and stage_sizes must have one entry for each stage, at least one; got "
        r"kinds=\('3d', '3d', '3d', '3d'\) and stage_sizes=\(2, 2\).",
    ),
    ("r3d_18", {"kinds": (), "stage_sizes": ()}, ValueError, "must have one entry for each stage, at least one"),
    ("r3d_18", {"kinds": None}, TypeError, r"VideoResNet: kinds must have one entry for each stage, such as \(1, 2\)"),
    ("r3d_18", {"kinds": "3d"}, TypeError, "kinds must have one entry for each stage, such as .*, not '3d'"),
    ("r3d_18", {"stage_sizes": (2, 2, 2, 0)}, ValueError, r"stage_sizes=\(2, 2, 2, 0\) must be at least 1 in every"),
    ("r3d_18", {"stage_sizes": (2, 2, 2, 1.5)}, TypeError, "stage_sizes must be an integer, not 1.5"),
    ("r3d_18", {"width": 0}, ValueError, "VideoResNet: width=0 must be at least 1."),
    ("r3d_18", {"width": 2.5}, TypeError, "VideoResNet: width must be an integer, not 2.5"),
    (
        "c3d",
        {"stage_sizes": (1, 1, 2, 2), "widths": (1, 2, 3, 4)},
        ValueError,
        "C3D: stage_sizes and widths must have 5 entries, one for each stage; got",
    ),
    ("convnext_tiny", {"widths": (4, 4)}, ValueError, "ConvNeXt: stage_sizes and widths must have one entry for each"),
    ("fcn8s_vgg16", {"widths": (4, 4)}, ValueError, "FCN: stage_sizes and widths must have 5 entries, one for each"),
    ("vgg11", {"widths": (4, 4)}, ValueError, "VGG: stage_sizes and widths must have one entry for each stage"),
    ("fcn_1d", {"windows": (8, 5)}, ValueError, "FCN1D: widths and windows must have one entry for each stage"),
]


@pytest.mark.parametrize(("name", "options", "kind", "message"), REFUSED)
def test_refused(name: str, options: dict[str, Any], kind: type[Exception], message: str) -> None:
    shape = models.info(name).input_shape
    with pytest.raises(kind, match=message):
        jax.eval_shape(models.create(name, **options).init, jax.random.key(0), jnp.zeros((1, *shape)))


def test_the_narrowest_network_of_factored_convolutions() -> None:
    model = models.create("r2plus1d_18", width=1, stage_sizes=(1,) * 4, num_classes=2)
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 2, 8, 8, 3)))
    assert variables["params"]["stem_conv_space"]["kernel"].shape == (1, 7, 7, 3, 1)
