"""Show what the units of a run's layers respond to: patches of the data, and images made for each unit.

Draws one picture for each layer, with a row for each unit: the patches of the split with its largest activations (its
receptive field), and images that were optimised for its activation.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxcnn.cli import _evolution, _trust

if TYPE_CHECKING:
    from jaxcnn.cli._inside import Inside

HELP = "show what the units of a run's layers respond to"
EXAMPLES = (
    "jaxcnn units runs/mine",
    "jaxcnn units runs/mine --evolution",
    "jaxcnn units runs/mine --layer conv2 --units 16 --top 5 --json",
)
LAYERS = 4  # drawn unless layers are named


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="folder of the run")
    parser.add_argument(
        "--layer", action="append", metavar="NAME", help="a layer; repeatable (the first four layers of maps)"
    )
    parser.add_argument("--units", type=int, default=8, metavar="N", help="units of each layer, evenly spaced (8)")
    parser.add_argument("--top", type=int, default=9, metavar="K", help="patches of each unit (9)")
    parser.add_argument("--made", type=int, default=2, metavar="N", help="images made for each unit (2)")
    parser.add_argument("--steps", type=int, default=128, metavar="N", help="steps of making an image (128)")
    parser.add_argument(
        "--split", default="test", choices=("train", "validation", "test"), help="split of the data (test)"
    )
    parser.add_argument(
        "--images", type=int, default=2000, metavar="N", help="images of the split that are read (2000)"
    )
    parser.add_argument(
        "--evolution",
        action="store_true",
        help="draw instead how kernels and units developed over the epochs that the run keeps (train --keep-epochs)",
    )
    parser.add_argument(
        "--folder", type=Path, default=Path(), metavar="DIR", help="folder of the pictures (the current one)"
    )
    parser.add_argument("--checkpoint", choices=("last", "best"), default="last", help="the checkpoint (last)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    _trust.add_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Draws a picture for each layer, and prints where the units respond most."""
    from jaxcnn._hints import did_you_mean
    from jaxcnn.cli._inside import open_inside
    from jaxcnn.cli._output import print_json, print_table, say
    from jaxcnn.train import ConfigError, RunError, RunFolder

    for name, least in {"units": 1, "top": 1, "images": 1, "steps": 1, "made": 0}.items():
        if getattr(options, name) < least:
            raise ConfigError(f"--{name} {getattr(options, name)}: give at least {least}.")
    folder = RunFolder.open(options.run_folder)
    inside = open_inside(folder, options)
    experiment = inside.trained.experiment
    split = None if experiment.streams else getattr(experiment.data, options.split)
    if split is None:
        raise RunError(f"the run's data set has no split {options.split!r} in memory, whose images could be searched.")
    fields = receptive_fields(inside)
    layers = options.layer or list(fields)[:LAYERS]
    if unknown := [name for name in layers if name not in fields]:
        raise ConfigError(f"--layer {unknown[0]}: there is no such layer of maps. {did_you_mean(unknown[0], fields)}")
    images = split["image"][: options.images]
    if options.evolution:
        pictures = _evolution.draw(_evolution.epochs_of(folder, inside), images, layers, fields, options)
        if options.json:
            print_json(pictures)
        for each in [] if options.json else pictures:
            say(f"picture: {each['picture']}")
        return 0
    found: list[dict[str, Any]] = []
    for layer in layers:
        picture = options.folder / f"units-{layer.replace('/', '-').removesuffix('()')}.png"
        units = draw(inside, images, layer, fields[layer], picture, options)
        found.append({"layer": layer, "units": units, "picture": str(picture)})
    if options.json:
        print_json(found)
        return 0
    for each in found:
        size = "x".join(map(str, fields[each["layer"]].size))
        rows = []
        for unit in each["units"]:
            made = ", ".join(f"{value:.3g}" for value in unit["made"])
            numbers = (f"{unit['greatest']:.3g}", str(unit["image"]), f"{unit['percentile']:.3g}")
            rows.append([str(unit["unit"]), size, *numbers, made])
        heads = ["unit", "receptive field", "greatest", "image", "99 % of images below", "made images"]
        print_table(heads, rows, title=each["layer"])
        say(f"picture: {each['picture']}")
    return 0


def receptive_fields(inside: "Inside") -> dict[str, Any]:
    """The receptive field of each layer of maps that the network names, from the summary of its model.

    Raises:
        RunError: the experiment's networks are not a single one with maps.
    """
    from jaxcnn.models import summary
    from jaxcnn.train import RunError, networks

    found: dict[str, Any] = {}
    for model, x in networks(inside.trained.experiment)[:1]:
        about = summary(model, x.shape)
        known = {each.name: each.receptive_field for each in about.maps}
        known |= {f"{layer.path}()": layer.receptive_field for layer in about.layers}
        maps = [each.name for each in about.maps] or [f"{layer.path}()" for layer in about.layers]
        for name in maps:
            shape = inside.shapes.get(name, ())
            if known[name] is not None and len(shape) == 4 and min(shape[1:3]) > 1:
                found[name] = known[name]
    if not found:
        raise RunError("the run's network has no layer with maps of the image, whose units could be shown.")
    return found


def draw(
    inside: "Inside", images: Any, layer: str, field: Any, picture: Path, options: argparse.Namespace
) -> list[dict[str, Any]]:
    """Draws the units of a layer; for each its number, its greatest activation, and those of the images made for it."""
    import jax
    import numpy as np

    from jaxcnn.attribution import layer_outputs, maximize_activation, top_patches
    from jaxcnn.vis import draw_units

    def values(x: Any) -> Any:
        return layer_outputs(inside.scores, x, layers=[layer])[layer]

    shape = inside.shapes[layer]
    units = np.unique(np.linspace(0, shape[-1] - 1, options.units).round().astype(int))
    batches = [images[start : start + 64] for start in range(0, len(images), 64)]
    named = jax.jit(lambda x: values(inside.prepare(x)))
    everything = np.concatenate([np.asarray(named(batch)).max((1, 2)) for batch in batches])[:, units]
    # The result of the function is not used; the layer is found inside of it.
    found = top_patches(
        inside.of_raw,
        batches,
        layer=layer,
        receptive_field=field,
        k=min(options.top, len(images)),
    )
    columns = [(f"patches of {options.split} images", found.patches[units])]
    reached = np.zeros((len(units), 0))
    if options.made:
        # Pixels 0 and 255 as the network gets them give the range of images in [0, 1].
        low, high = (
            np.asarray(inside.prepare(np.full((1, *images.shape[1:]), value, images.dtype))) for value in (0, 255)
        )
        row, column = (size // 2 for size in shape[1:3])
        count = options.made

        def score(x: Any) -> Any:
            """The activations of the central units, each for images of its own."""
            central = values(low + (high - low) * x)[:, row, column]
            return jax.numpy.take_along_axis(central, np.repeat(units, count)[:, None], 1)[:, 0]

        made = maximize_activation(
            jax.random.key(0), score, shape=(len(units) * count, *images.shape[1:]), steps=options.steps
        )
        shown = np.asarray(made.images).reshape(len(units), count, *images.shape[1:])
        reached = np.asarray(made.scores[-1]).reshape(len(units), count)
        columns.append(("made", (255 * _cropped(shown, field, row, column)).astype(np.uint8)))
    names = [f"unit {unit}\ngreatest {value:.2g}" for unit, value in zip(units, found.values[units, 0], strict=True)]
    size = "x".join(map(str, field.size))
    draw_units(columns, names, picture, title=f"{layer}: what its units respond to, receptive field {size}")
    return [
        {
            "unit": int(unit),
            "greatest": float(found.values[unit, 0]),
            "image": int(found.images[unit, 0]),
            "percentile": float(np.percentile(everything[:, index], 99)),
            "made": [float(value) for value in reached[index]],
        }
        for index, unit in enumerate(units)
    ]


def _cropped(images: Any, field: Any, row: int, column: int) -> Any:
    """The part of images ``(units, n, height, width, channels)`` in the receptive field of a unit."""
    spans = field.span((row, column))
    sides = [slice(max(int(low), 0), int(high) + 1) for low, high in spans]
    return images[:, :, sides[0], sides[1]]
