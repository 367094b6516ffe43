"""Random configurations for the tests of both local_conv and tiled_conv."""

from hypothesis import strategies as st

from jaxcnn._geometry import conv_geometry


@st.composite
def convolutions(draw: st.DrawFn) -> dict:
    """Shapes and options in 1, 2 or 3 dimensions; reflected padding is smaller than the input."""
    mode = draw(st.sampled_from(["zeros", "reflect", "edge", "circular"]))
    axes = []
    for _ in range(draw(st.integers(1, 3))):
        window, stride, gap = (draw(st.integers(1, 2)) for _ in range(3))
        spread = draw(st.integers(1, 2))
        pads = draw(st.integers(0, 2)), draw(st.integers(0, 2))
        axes.append((draw(st.integers(3, 4)), window, stride, gap, spread, pads))
    sizes, window, strides, gaps, spread, pads = (tuple(column) for column in zip(*axes, strict=True))
    groups = draw(st.sampled_from([1, 2]))
    return {
        "x_shape": (*draw(st.sampled_from([(), (2,), (1, 2)])), *sizes, 2 * groups),
        "filter_shape": (*window, 2, 2 * groups),
        "pads": pads,
        "options": {
            "strides": strides,
            "padding_mode": mode,
            "input_dilation": spread,
            "kernel_dilation": gaps,
        },
        "groups": groups,
        "flip": draw(st.booleans()),
        "seed": draw(st.integers(0, 1000)),
    }


def library_options(case: dict) -> dict:
    return {
        **case["options"],
        "padding": case["pads"],
        "feature_group_count": case["groups"],
        "flip_kernel": case["flip"],
    }


def oracle_options(case: dict) -> dict:
    return {**case["options"], "pads": case["pads"], "groups": case["groups"], "flip": case["flip"]}


def out_sizes(case: dict) -> tuple[int, ...]:
    names = ("strides", "input_dilation", "kernel_dilation")
    return conv_geometry(
        case["x_shape"],
        case["filter_shape"],
        padding=case["pads"],
        feature_group_count=case["groups"],
        **{name: case["options"][name] for name in names},
    ).out_sizes
