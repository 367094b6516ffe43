"""How the units of a run's network developed: pictures of its kernels and units over the epochs that it keeps."""

import argparse
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jaxcnn.cli._inside import Inside, inside_of

if TYPE_CHECKING:
    from jaxcnn.train import RunFolder, Trained

log = logging.getLogger("jaxcnn")


def epochs_of(run: "RunFolder", inside: Inside) -> list[tuple[float, Inside]]:
    """The network after each epoch that the run keeps, and that of the checkpoint.

    Raises:
        RunError: the run keeps none.
    """
    from jaxcnn.train import RunError, load_kept

    experiment = inside.trained.experiment
    kept = load_kept(run, experiment=experiment)
    if not kept:
        raise RunError(
            f"{run.path} keeps the variables of no epoch. Train with --keep-epochs 1,2,5,10,20 to see how they develop."
        )
    steps = {each.step: each for each in [*kept, inside.trained]}
    return [(epochs_until(step, experiment.steps_per_epoch), inside_of(steps[step])) for step in sorted(steps)]


def epochs_until(step: int, steps_per_epoch: int) -> float:
    """Epochs from the first step to one; a run that was stopped within an epoch has a fraction of it."""
    whole, rest = divmod(step, steps_per_epoch)
    return round(step / steps_per_epoch, 2) if rest else whole


def draw(
    epochs: Sequence[tuple[float, Inside]],
    images: Any,
    layers: Sequence[str],
    fields: dict[str, Any],
    options: argparse.Namespace,
) -> list[dict[str, Any]]:
    """Draws the kernels of the first layer, and for each layer the top patch of units with its projection."""
    found = []
    first = first_kernel(epochs[0][1])
    if first is not None:
        picture = options.folder / "evolution-kernels.png"
        draw_kernels(epochs, first, picture, options)
        found.append({"kernels": "/".join(first), "epochs": [epoch for epoch, _ in epochs], "picture": str(picture)})
    for layer in layers:
        picture = options.folder / f"evolution-{layer.replace('/', '-').removesuffix('()')}.png"
        rows = draw_layer(epochs, images, layer, fields[layer], picture, options)
        found.append({"layer": layer, "epochs": rows, "picture": str(picture)})
    return found


def first_kernel(inside: Inside) -> tuple[str, ...] | None:
    """The path of the parameters of the first convolution that reads the image, in grey or in colour."""
    shape = inside.trained.experiment.data.train.fields["image"][0]
    for name in inside.shapes:
        path = tuple(name.removesuffix("()").split("/"))
        kernel: tuple[int, ...] = getattr(_at(inside.trained, path).get("kernel"), "shape", ())
        if name.endswith("()") and len(kernel) == 4 and kernel[2] == shape[-1] in (1, 3):
            return path
    return None


def _at(trained: "Trained", path: Sequence[str]) -> dict[str, Any]:
    """The parameters of a module; none where there is no such module."""
    found: Any = trained.variables["params"]
    for key in path:
        found = found.get(key, {}) if isinstance(found, dict) else {}
    return found if isinstance(found, dict) else {}


def units_of(count: int, options: argparse.Namespace) -> Any:
    """The units that are drawn, evenly spaced."""
    import numpy as np

    return np.unique(np.linspace(0, count - 1, options.units).round().astype(int))


def draw_kernels(
    epochs: Sequence[tuple[float, Inside]], path: Sequence[str], picture: Any, options: argparse.Namespace
) -> None:
    """Draws kernels of a layer, with a column for each epoch."""
    import numpy as np

    from jaxcnn.vis import draw_units

    columns, units = [], np.zeros(0, int)
    for epoch, inside in epochs:
        kernel = np.asarray(_at(inside.trained, path)["kernel"], np.float32)
        units = units_of(kernel.shape[-1], options)
        tiles = np.moveaxis(kernel, -1, 0)[units][:, None]
        most = np.abs(tiles).max((1, 2, 3, 4), keepdims=True)
        shades = 127.5 + 127.5 * tiles / np.where(most == 0, 1, most)
        columns.append((f"epoch {epoch}", shades.round().astype(np.uint8)))
    names = [f"kernel {unit}" for unit in units]
    draw_units(columns, names, picture, title=f"{'/'.join(path)}: kernels over the epochs, each to its own scale")


def draw_layer(
    epochs: Sequence[tuple[float, Inside]],
    images: Any,
    layer: str,
    field: Any,
    picture: Any,
    options: argparse.Namespace,
) -> list[dict[str, Any]]:
    """Draws the top patch of units with its projection, with two columns for each epoch."""
    import numpy as np

    from jaxcnn.attribution import top_patches
    from jaxcnn.vis import draw_units

    columns, rows, units = [], [], np.zeros(0, int)
    batches = [images[start : start + 64] for start in range(0, len(images), 64)]
    for epoch, inside in epochs:
        found = top_patches(inside.of_raw, batches, layer=layer, receptive_field=field, k=1)
        units = units_of(len(found.values), options)
        patches = found.patches[units].astype(np.float32)
        projections = _projections(inside, images, found, units, layer, field)
        shown = patches if projections is None else np.concatenate([patches, projections], 1)
        columns.append((f"epoch {epoch}", shown))
        values = zip(units.tolist(), found.values[units, 0].tolist(), found.images[units, 0].tolist(), strict=True)
        entries = [{"unit": unit, "greatest": value, "image": image} for unit, value, image in values]
        rows.append({"epoch": epoch, "units": entries})
    size = "x".join(map(str, field.size))
    title = f"{layer}: the patch with the greatest activation, and its projection, receptive field {size}"
    draw_units(columns, [f"unit {unit}" for unit in units], picture, title=title)
    return rows


def _projections(inside: Inside, images: Any, found: Any, units: Any, layer: str, field: Any) -> Any:
    """The projections of the greatest activations of some units; None where the network has unclear rectifiers."""
    import numpy as np

    from jaxcnn.attribution import top_projections

    numbers = found.images[units, 0]
    prepared = np.asarray(inside.prepare(images[numbers]), np.float32)
    # Only the chosen images are prepared, so that they have new numbers.
    chosen = found._replace(images=np.arange(len(units))[:, None], positions=found.positions[units])
    try:
        return top_projections(inside.scores, prepared, chosen, layer=layer, receptive_field=field, units=units)
    except ValueError as error:
        log.warning("the projections of %s are left out: %s", layer, error)
        return None
