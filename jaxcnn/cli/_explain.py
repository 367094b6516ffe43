"""Show what a run's network looks at in an image: one picture with maps of the score of a class.

The maps are those of --method, by default saliency, Grad-CAM and occlusion; the class is the most probable one unless
--class names another. Scores are logits. For a regression, the maps explain its number; --class selects one of several,
by default the first. Grad-CAM uses the last layer of maps unless --layer names another.
"""

import argparse
from pathlib import Path
from typing import Any

from jaxcnn.cli import _invert, _trust

HELP = "show what a run's network looks at in an image"
EXAMPLES = (
    "jaxcnn explain runs/mine digit.png",
    "jaxcnn explain runs/mine photo.jpg --class cat --method guided_backprop --method integrated_gradients",
)
METHODS = (
    "saliency",
    "grad_cam",
    "occlusion",
    "input_x_gradient",
    "smoothgrad",
    "integrated_gradients",
    "guided_backprop",
    "deconvnet",
    "guided_grad_cam",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="folder of the run")
    parser.add_argument("image", type=Path, metavar="IMAGE", help="an image file")
    parser.add_argument(
        "--method",
        action="append",
        choices=METHODS,
        help="a map to draw; repeatable (saliency, grad_cam, occlusion)",
    )
    parser.add_argument(
        "--class",
        dest="target",
        metavar="NAME",
        help="the class to explain (the most probable one), or the number of a regression",
    )
    parser.add_argument(
        "--layer", metavar="NAME", help="layer of grad_cam and guided_grad_cam (the last layer of maps)"
    )
    parser.add_argument("--top", type=int, default=5, metavar="K", help="classes shown (5)")
    _invert.add_argument(parser)
    parser.add_argument(
        "--picture", type=Path, default=Path("explanation.png"), metavar="FILE", help="picture (explanation.png)"
    )
    parser.add_argument("--checkpoint", choices=("last", "best"), default="last", help="the checkpoint (last)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    _trust.add_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Draws the picture, and prints the classes and what the maps hold."""
    import jax
    import numpy as np

    from jaxcnn.cli._inside import open_inside
    from jaxcnn.cli._output import print_json, print_table, say
    from jaxcnn.data import read_image
    from jaxcnn.train import ConfigError, RunFolder
    from jaxcnn.vis import draw_explanation

    if options.top < 1:
        raise ConfigError(f"--top {options.top}: show at least one class.")
    inside = open_inside(RunFolder.open(options.run_folder), options)
    data = inside.trained.experiment.data
    (height, width, channels), _ = data.train.fields["image"]
    (invert,) = _invert.which_inverted([options.image], options.invert, dataset=data.name)
    resize: Any = getattr(data, "resize", "fit")
    image = read_image(options.image, image_shape=(height, width, channels), resize=resize, invert=invert)
    x = inside.prepare(image[None])
    scores = np.asarray(jax.jit(inside.scores)(x))[0]
    if inside.numbers is None:
        probabilities = np.asarray(jax.nn.softmax(scores))
        names = list(data.class_names or map(str, range(len(scores))))
        order = np.argsort(-probabilities, kind="stable")
        top = [(names[index], float(probabilities[index])) for index in order[: options.top]]
        first, what = int(order[0]), "score of {}"
    else:
        numbers = range(len(scores))
        names = [inside.numbers] if len(scores) == 1 else [f"{inside.numbers} {index}" for index in numbers]
        top, first, what = [], 0, "{}"
    target = first if options.target is None else class_number(options.target, names)
    methods = options.method or list(METHODS[:3])
    layer = inside.layer(options.layer) if {"grad_cam", "guided_grad_cam"} & set(methods) else None
    maps, gap = attributions(inside.scores, x, target=target, methods=methods, layer=layer)
    titles = {f"{name} ({layer})" if name in ("grad_cam", "guided_grad_cam") else name: maps[name] for name in methods}
    title = f"{options.image.name}: {what.format(names[target])}"
    draw_explanation(image, titles, top, options.picture, title=title)
    rows = [{"method": name, **_peak(maps[name])} for name in methods]
    if options.json:
        found: dict[str, Any] = {
            "image": str(options.image),
            "inverted": invert,
            "class" if inside.numbers is None else "number": names[target],
            "score": float(scores[target]),
            "layer": layer,
            "top": [{"class": name, "probability": probability} for name, probability in top],
            "maps": rows,
            "picture": str(options.picture),
        }
        print_json(found | ({"gap": gap} if gap is not None else {}))
        return 0
    if top:
        print_table(["class", "probability"], [[name, f"{100 * probability:.1f} %"] for name, probability in top])
    say(f"{what.format(names[target])}: {scores[target]:.3g}")
    print_table(
        ["map", "size", "least", "greatest", "at row, column"],
        [
            [each["method"], each["size"], f"{each['least']:.3g}", f"{each['greatest']:.3g}", each["at"]]
            for each in rows
        ],
    )
    if gap is not None:
        say(f"the integrated gradients add up to the difference of the scores, but for {gap:.2g}")
    say(f"picture: {options.picture}")
    return 0


def class_number(name: str, names: list[str]) -> int:
    """The number of a class, from its name or its number.

    Raises:
        ConfigError: there is no such class.
    """
    from jaxcnn._hints import did_you_mean
    from jaxcnn.train import ConfigError

    if name in names:
        return names.index(name)
    if name.isdecimal() and int(name) < len(names):
        return int(name)
    raise ConfigError(f"--class {name}: there is no such class or number. {did_you_mean(name, names)}")


def attributions(scores: Any, x: Any, *, target: int, methods: list[str], layer: str | None) -> Any:
    """The map of each method for one image, and the gap of integrated gradients where they are among them."""
    import jax
    import numpy as np

    from jaxcnn import attribution

    window = tuple(max(size // 6, 2) for size in x.shape[1:3])
    settings: dict[str, dict[str, Any]] = {
        "grad_cam": {"layer": layer},
        "guided_grad_cam": {"layer": layer},
        "occlusion": {
            "window_shape": window,
            "strides": tuple(max(size // 2, 1) for size in window),
            "baseline": x.mean((1, 2), keepdims=True),
        },
    }
    found, gap = {}, None
    for name in methods:
        method = getattr(attribution, name)
        key = (jax.random.key(0),) if name == "smoothgrad" else ()

        def call(x: Any, method: Any = method, key: Any = key, name: str = name) -> Any:
            return method(*key, scores, x, target=target, **settings.get(name, {}))

        result = jax.jit(call)(x)
        if name == "integrated_gradients":
            result, gap = result.attributions, float(result.gap[0])
        found[name] = np.asarray(result[0])
    return found, gap


def _peak(values: Any) -> dict[str, Any]:
    """The size of a map, its least and greatest value, and where that is."""
    flat = values.max(-1) if values.ndim == 3 else values
    row, column = divmod(int(flat.argmax()), flat.shape[1])
    size = "x".join(map(str, values.shape))
    return {"size": size, "least": float(values.min()), "greatest": float(values.max()), "at": f"{row}, {column}"}
