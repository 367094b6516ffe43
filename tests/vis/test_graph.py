"""Graphs of values and gradients: two examples of the CS231n notes, and the chain rule on random expressions."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import models, vis
from jaxcnn._errors import ShapeError
from jaxcnn.vis._graph_layout import layout


def by_name(graph: vis.ValueGraph) -> dict[str, tuple[float, float]]:
    return {node.name: (float(node.value), float(node.gradient)) for node in graph.nodes}


def test_the_first_example_of_the_notes() -> None:
    graph = vis.value_graph(lambda x, y, z: (x + y) * z, -2.0, 5.0, -4.0)
    assert by_name(graph) == {"x": (-2, -4), "y": (5, -4), "z": (-4, 3), "+": (3, -4), "*": (-12, 1)}
    found = [
        (graph.nodes[each.source].name, graph.nodes[each.target].name, each.local, float(each.upstream), each.product)
        for each in graph.edges
    ]
    assert found == [("x", "+", 1, -4, -4), ("y", "+", 1, -4, -4), ("+", "*", -4, 1, -4), ("z", "*", 3, 1, 3)]


def test_the_sigmoid_neuron_of_the_notes() -> None:
    def neuron(w0: Any, x0: Any, w1: Any, x1: Any, w2: Any) -> Any:
        return 1 / (1 + jnp.exp(-(w0 * x0 + w1 * x1 + w2)))

    with jax.enable_x64(True):
        graph = vis.value_graph(neuron, 2.0, -1.0, -3.0, -2.0, -3.0)
    y = 1 / (1 + np.exp(-1))
    slope = y * (1 - y)  # 0.20 in the notes
    expected = [
        ("w0", 2, -slope),
        ("x0", -1, 2 * slope),
        ("w1", -3, -2 * slope),
        ("x1", -2, -3 * slope),
        ("w2", -3, slope),
        ("*", -2, slope),
        ("*", 6, slope),
        ("+", 4, slope),
        ("+", 1, slope),
        ("* -1", -1, -slope),
        ("exp", np.exp(-1), -(y**2)),  # 0.37 and -0.53
        ("+ 1", 1 + np.exp(-1), -(y**2)),  # 1.37 and -0.53
        ("1 /", y, 1),  # 0.73
    ]
    assert [node.name for node in graph.nodes] == [name for name, _, _ in expected]
    np.testing.assert_allclose([node.value for node in graph.nodes], [value for _, value, _ in expected], rtol=1e-13)
    np.testing.assert_allclose([node.gradient for node in graph.nodes], [each for _, _, each in expected], rtol=1e-13)


BINARY = [jnp.add, jnp.multiply, jnp.subtract, jnp.maximum, lambda a, b: a / (2 + b * b)]
UNARY = [jnp.sin, jnp.tanh, jax.nn.relu, jnp.square, lambda a: a**3, jax.jit(jnp.exp)]


def expression(draw: np.random.Generator, depth: int) -> Callable[..., Any]:
    """A random tree of operations on three inputs, each of which may be used several times."""
    if depth == 0:
        place = int(draw.integers(3))
        return lambda *inputs: inputs[place]
    if draw.random() < 0.4:
        operation, inner = UNARY[draw.integers(len(UNARY))], expression(draw, depth - 1)
        return lambda *inputs: operation(inner(*inputs))
    both = BINARY[draw.integers(len(BINARY))]
    left, right = expression(draw, depth - 1), expression(draw, depth - 1)
    return lambda *inputs: both(left(*inputs), right(*inputs))


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.gate), pytest.param(2, marks=pytest.mark.gate)])
def test_what_reaches_an_input_along_its_edges_is_its_gradient(seed: int) -> None:
    draw = np.random.default_rng(seed)
    tree, inputs = expression(draw, 4), [0.3, -0.7, 0.5]
    with jax.enable_x64(True):
        graph = vis.value_graph(lambda x, y, z: tree(x, y, z) + 0.1 * (x + y + z), *inputs)
        expected = jax.jit(jax.grad(lambda x, y, z: tree(x, y, z) + 0.1 * (x + y + z), (0, 1, 2)))(*inputs)
    for place, gradient in enumerate(expected):
        total = sum(edge.product for edge in graph.edges if edge.source == place)
        np.testing.assert_allclose([total, graph.nodes[place].gradient], gradient, rtol=1e-6)
    for edge in graph.edges:
        assert edge.local is not None
        np.testing.assert_allclose(edge.product, edge.local * edge.upstream, rtol=1e-12)


def test_arguments_have_the_names_of_their_places_and_integers_are_left_out() -> None:
    def f(params: Any, count: Any) -> Any:
        return (params["w"] * count).sum()

    graph = vis.value_graph(f, {"w": jnp.ones(2), "unused": jnp.ones(3)}, 2)
    names = [node.name for node in graph.nodes]
    assert names[0] == "params/w" and "count" not in names and not any("unused" in name for name in names)
    np.testing.assert_array_equal(graph.nodes[0].gradient, [2, 2])
    assert all(edge.local is None for edge in graph.edges)


def test_columns_follow_the_longest_path_and_edges_pass_between_nodes() -> None:
    found = layout(4, [(0, 1), (1, 2), (2, 3), (0, 3)])
    assert [column for column, _ in found.nodes] == [0, 1, 2, 3] and found.columns == 4 and found.rows == 2
    assert [len(between) for between in found.edges] == [0, 0, 0, 2]
    taken = [*found.nodes, *found.edges[3]]
    assert len(set(taken)) == len(taken)


@pytest.mark.gate
def test_a_small_network_is_drawn_with_boxes_of_its_modules(tmp_path: Path) -> None:
    model = models.create("lenet5")
    x = np.random.default_rng(0).random((1, 32, 32, 1)).astype(np.float32)
    variables = jax.jit(model.init)(jax.random.key(0), x)
    figure = vis.graph_figure(lambda params: model.apply({"params": params}, x)[0, 3], variables["params"])
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert {"c1", "c3", "c5", "f6", "output", "relu", "conv"} <= set(texts)
    vis.draw_graph(
        lambda params: model.apply({"params": params}, x)[0, 3], variables["params"], path=tmp_path / "a.png"
    )
    assert (tmp_path / "a.png").exists()


def test_other_functions_are_refused() -> None:
    with pytest.raises(
        ShapeError, match=r"value_graph: expected a function with a single number .* \[\(2,\)\]. Sum it"
    ):
        vis.value_graph(lambda x: x, jnp.ones(2))
    with pytest.raises(TypeError, match="value_graph: expected a floating argument, but there is none"):
        vis.value_graph(lambda x: x * 1.0, 3)
