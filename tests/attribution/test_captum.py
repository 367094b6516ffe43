"""Attributions equal those of captum, in float64, for networks with random weights."""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import attribution
from tests.attribution import captum_maps
from tests.attribution.networks import network

STORED = json.loads(captum_maps.STORED.read_text(encoding="utf-8"))
# The largest difference relative to the largest entry. Captum adds in another order, and computes occlusion in float32.
TOLERANCES = {"integrated_gradients": 1e-8, "gap": 1e-8, "occlusion": 1e-6}


def attributions_here(methods: tuple[str, ...], name: str, variables: Any, x: jax.Array) -> dict[str, Any]:
    model, _ = network(name)
    _, _, layer = captum_maps.SETTINGS[name]
    options: dict[str, dict[str, Any]] = {
        "grad_cam": {"layer": layer, "rectified": False},
        "guided_grad_cam": {"layer": layer},
        "occlusion": {"window_shape": captum_maps.WINDOW, "strides": captum_maps.STRIDES},
        "feature_ablation": {"groups": captum_maps.groups(name)},
    }

    def f(x: jax.Array) -> jax.Array:
        return model.apply(variables, x, train=False)

    found = {"scores": f(x)}
    for method in methods:
        function = getattr(attribution, method)
        found[method] = function(f, x, target=np.array(captum_maps.TARGETS), **options.get(method, {}))
    if "integrated_gradients" in found:
        found["integrated_gradients"], found["gap"] = found["integrated_gradients"]
    return found


ALL = tuple(method for method in STORED["lenet"] if method not in ("scores", "gap"))


@pytest.mark.parametrize(
    ("name", "methods"),
    [
        ("lenet", ("guided_backprop", "deconvnet", "grad_cam")),
        *[pytest.param(name, ALL, marks=pytest.mark.gate) for name in STORED],
    ],
)
def test_attributions_are_those_of_captum(name: str, methods: tuple[str, ...]) -> None:
    with jax.enable_x64(True):
        _, variables = network(name)
        variables, x = jax.tree.map(jnp.asarray, (variables, captum_maps.images(name)))
        found = jax.jit(attributions_here, static_argnums=(0, 1))(methods, name, variables, x)
    assert methods != ALL or set(found) == set(STORED[name])
    for method, values in found.items():
        kept, tolerance, stored = captum_maps.kept(values), TOLERANCES.get(method, 1e-13), STORED[name][method]
        (scale,) = STORED[name]["scores" if method == "gap" else method]["scale"]
        for part in ("scale", "entries", "projections"):
            np.testing.assert_allclose(
                kept[part], stored[part], rtol=0, atol=tolerance * scale, err_msg=f"{method}: {part}"
            )
