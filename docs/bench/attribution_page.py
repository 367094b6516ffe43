"""The pictures of a trained network in docs/tasks/attribution.md: ``python -m docs.bench.attribution_page RUN``.

RUN is a finished run of ``convnetjs_cifar10``, or of another experiment that predicts classes of colour images; its
layers are then named by ``--layers`` and ``--cam``. Where the run keeps epochs (``jaxcnn train convnetjs_cifar10
--keep-epochs 1,2,5,10,20``), a picture of its development is drawn too. The page names the run that was trained; update
the page by hand.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxcnn import attribution, train, vis
from jaxcnn.models import summary

UNITS, PATCHES, TILE = (1, 5, 9, 13), 4, 24
Function = Callable[[Any], Any]


def _test(trained: train.Trained) -> Any:
    """The test split, in memory."""
    return trained.experiment.data.test


def scores_of(trained: train.Trained) -> Function:
    """Prepared images -> logits."""
    predict = trained.experiment.predict
    assert predict is not None

    def probabilities(x: Any) -> Any:
        return predict(dict(trained.variables), {"image": x})["probabilities"]

    return lambda x: attribution.layer_outputs(probabilities, x, layers=["()"])["()"]


def prepared(trained: train.Trained, images: Any) -> Any:
    """Images as the network reads them."""
    return trained.experiment.prepare({"image": images})["image"]


def receptive_fields(trained: train.Trained) -> dict[str, Any]:
    """The receptive field of each named map."""
    ((model, x), *_) = train.networks(trained.experiment)
    return {each.name: each.receptive_field for each in summary(model, x.shape).maps}


def enlarged(tiles: np.ndarray) -> np.ndarray:
    """Tiles ``(..., height, width, 3)`` of one size, by the nearest pixel."""
    rows, columns = ((np.arange(TILE) * size) // TILE for size in tiles.shape[-3:-1])
    return tiles[..., rows, :, :][..., columns, :]


def draw_projections(trained: train.Trained, images: np.ndarray, layers: Sequence[str], path: Path) -> None:
    """The top patches of some units, with their projections."""
    scores, fields = scores_of(trained), receptive_fields(trained)
    patches, projections, labels = [], [], []
    for layer in layers:
        options: dict[str, Any] = {"layer": layer, "receptive_field": fields[layer]}
        batches = np.array_split(images, max(1, len(images) // 100))
        found = attribution.top_patches(lambda x: scores(prepared(trained, x)), batches, k=PATCHES, **options)
        chosen = attribution.TopPatches(*(each[list(UNITS)] for each in found))
        x = np.asarray(prepared(trained, images), np.float32)
        shown = attribution.top_projections(scores, x, chosen, units=UNITS, **options)
        patches += list(enlarged(chosen.patches / 255.0))
        projections += list(enlarged(shown))
        size = "x".join(map(str, fields[layer].size))
        labels += [f"{layer} unit {unit}\n{size} pixels" for unit in UNITS]
    columns = [("top patches", np.array(patches)), ("deconvnet projections", np.array(projections))]
    vis.draw_units(columns, labels, path, title="What units respond to")


def draw_maps(trained: train.Trained, layer: str, path: Path) -> None:
    """Grad-CAM, occlusion and saliency of four right answers and four wrong ones."""
    scores, test = scores_of(trained), _test(trained)
    names, images, labels = trained.experiment.data.class_names, test["image"][:200], test["label"][:200]
    x = np.asarray(prepared(trained, images), np.float32)
    found = np.asarray(jax.jit(scores)(x)).argmax(-1)
    chosen = np.concatenate([np.flatnonzero(found == labels)[:4], np.flatnonzero(found != labels)[:4]])
    x, grey = x[chosen], float(np.asarray(prepared(trained, np.full((1, *images.shape[1:]), 127, np.uint8))).mean())
    maps = {
        "Grad-CAM": jax.jit(lambda x: attribution.grad_cam(scores, x, layer=layer))(x),
        "occlusion": jax.jit(lambda x: attribution.occlusion(scores, x, window_shape=(6, 6), strides=3, baseline=grey))(
            x
        ),
        "saliency": jax.jit(lambda x: attribution.saliency(scores, x).max(-1))(x),
    }
    columns = [("image", images[chosen][:, None])]
    columns += [(name, np.asarray(each)[:, None, ..., None]) for name, each in maps.items()]
    rows = [f"{names[labels[index]]}\nfound {names[found[index]]}" for index in chosen]
    vis.draw_units(columns, rows, path, title=f"Right answers, and wrong ones; Grad-CAM of {layer}")


def draw_development(run: train.RunFolder, trained: train.Trained, module: str, path: Path) -> list[int]:
    """Kernels of the first layer over the epochs that the run keeps; these epochs."""
    steps = trained.experiment.steps_per_epoch
    kept = train.load_kept(run, experiment=trained.experiment)
    columns = []
    for each in kept:
        tiles = np.moveaxis(np.asarray(each.variables["params"][module]["kernel"]), -1, 0)[:, None]
        most = np.abs(tiles).max((1, 2, 3, 4), keepdims=True)
        columns.append((f"epoch {each.step // steps}", 0.5 + 0.5 * tiles[:8] / most[:8]))
    if columns:
        names = [f"kernel {index}" for index in range(len(columns[0][1]))]
        vis.draw_units(columns, names, path, title=f"{module}: kernels over the epochs, each to its own scale")
    return [each.step // steps for each in kept]


def main() -> None:
    """Draws the pictures into ``docs/images``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--layers", nargs="+", default=["conv1", "conv2", "conv3"])
    parser.add_argument("--cam", default="pool2", metavar="LAYER")
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent.parent / "images")
    options = parser.parse_args()
    run = train.RunFolder.open(options.run)
    trained = train.load_trained(run, "last", trust=True)
    images, first = _test(trained)["image"][: options.images], options.layers[0]
    kernel = trained.variables["params"][first]["kernel"]
    vis.draw_kernels(kernel, options.folder / "attribution_kernels.png", title=first)
    draw_projections(trained, images, options.layers, options.folder / "attribution_projections.png")
    draw_maps(trained, options.cam, options.folder / "attribution_grad_cam.png")
    epochs = draw_development(run, trained, first, options.folder / "attribution_evolution.png")
    measures = {name: value for name, value in run.metrics.read()[-1].items() if name.startswith("test/")}
    print(f"step {trained.step}, epochs kept {epochs or 'none'}, {measures}")


if __name__ == "__main__":
    main()
