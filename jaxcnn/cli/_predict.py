"""Predict the classes of image files with a run's model.

Images of any size and mode are converted to the size and channels of the data set. If the data set has light strokes on
a dark background, such as digits, images with dark strokes are detected and inverted; --invert and --no-invert decide
for all images. --show draws the input of the network. If the run predicts a class for each pixel, a mask of each image,
NAME_mask.png, is written in the size that the network reads, and the fractions of the classes are printed. If it
detects objects, those with a score of at least 0.5 are printed and drawn; --json prints all.
"""

import argparse
from pathlib import Path
from typing import Any

from jaxcnn.cli import _invert, _trust

HELP = "predict the classes of image files"
EXAMPLES = (
    "jaxcnn predict runs/mine digit.png",
    "jaxcnn predict runs/mine photos/*.jpg --json",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="folder of the run")
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="image files")
    parser.add_argument("--top", type=int, default=3, metavar="K", help="classes shown for each image (3)")
    _invert.add_argument(parser)
    parser.add_argument(
        "--show",
        nargs="?",
        type=Path,
        const=Path("prediction.png"),
        metavar="PICTURE",
        help="draw the inputs of the network with the predicted classes (prediction.png)",
    )
    parser.add_argument(
        "--masks", type=Path, default=Path("masks"), metavar="FOLDER", help="folder for predicted masks (masks)"
    )
    parser.add_argument("--checkpoint", choices=("last", "best"), default="last", help="the checkpoint (last)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    _trust.add_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Prints the most probable classes of every image."""
    import numpy as np

    from jaxcnn.cli._output import print_json, print_table, say
    from jaxcnn.cli._predict_boxes import draw, is_detection
    from jaxcnn.data import read_image
    from jaxcnn.train import ConfigError, RunError, RunFolder

    if options.top < 1:
        raise ConfigError(f"--top {options.top}: show at least one class.")
    model = _trust.load_model(RunFolder.open(options.run_folder), options)
    shape = model.image_shape
    inverted = _invert.which_inverted(options.images, options.invert, dataset=model.dataset)
    images = np.stack(
        [
            read_image(path, image_shape=shape, resize=model.resize, invert=invert)
            for path, invert in zip(options.images, inverted, strict=True)
        ]
    )
    found: list[dict[str, Any]] = []
    outputs = model.predict(image=images)
    if isinstance(outputs, dict) and "segmentation" in outputs:
        return _show_masks(options, images, outputs["segmentation"], model.class_names)
    if is_detection(outputs):
        return _show_objects(options, images, outputs, model.class_names)
    if not isinstance(outputs, dict) or "probabilities" not in outputs or outputs["probabilities"].ndim != 2:
        raise RunError(
            "this run predicts neither probabilities of classes nor a class for each pixel nor boxes of objects, which "
            "this verb shows. Load it in Python with train.load_trained, and call predict(image=...)."
        )
    names = model.class_names or tuple(map(str, range(outputs["probabilities"].shape[-1])))
    for path, invert, probabilities in zip(options.images, inverted, outputs["probabilities"], strict=True):
        best = np.argsort(-probabilities, kind="stable")[: options.top]
        top = [{"class": names[index], "probability": float(probabilities[index])} for index in best]
        found.append({"image": str(path), "inverted": invert, "top": top})
    boxes = outputs.get("boxes")  # of localisation: one of each image
    if boxes is not None:
        for row, box in zip(found, boxes, strict=True):
            row["box"] = [round(float(value), 2) for value in box]
    if options.show is not None:
        from jaxcnn.vis import draw_predictions

        if boxes is None:
            draw_predictions(images, found, options.show)
        else:
            draw(outputs, images, names, options.show, title="Input of the network", count=len(images))
    if options.json:
        print_json(found)
        return 0
    rows = [
        [
            row["image"],
            *_box_in_words(row),
            *(f"{guess['class']} {100 * guess['probability']:.1f} %" for guess in row["top"]),
        ]
        for row in found
    ]
    heads = ["image", "prediction"] if boxes is None else ["image", "box x0 y0 x1 y1", "prediction"]
    print_table([*heads, *[""] * (len(rows[0]) - len(heads))], rows)
    if options.invert is None and any(inverted):  # guessed
        turned = ", ".join(row["image"] for row in found if row["inverted"])
        say(f"dark on light, so inverted: {turned} (--no-invert keeps them)")
    if options.show is not None:
        say(f"what the network gets: {options.show}")
    return 0


def _show_objects(options: argparse.Namespace, images: Any, outputs: Any, class_names: tuple[str, ...]) -> int:
    """Prints the detected objects of every image, and draws them."""
    from jaxcnn.cli._output import print_json, print_table, say
    from jaxcnn.cli._predict_boxes import HEADS, describe, draw, rows_of

    found = describe(outputs, options.images, class_names)
    if options.show is not None:
        draw(outputs, images, class_names, options.show, title="Input of the network", count=len(images))
    if options.json:
        print_json(found)
        return 0
    print_table(list(HEADS), rows_of(found))
    if options.show is not None:
        say(f"what the network gets: {options.show}")
    return 0


def _show_masks(options: argparse.Namespace, images: Any, maps: Any, class_names: tuple[str, ...]) -> int:
    """Writes the masks, and prints the shares of the classes in them."""
    from jaxcnn.cli._output import print_json, print_table, say
    from jaxcnn.cli._predict_masks import write_masks
    from jaxcnn.vis import draw_segmentation

    names = class_names or tuple(map(str, range(int(maps.max()) + 1)))
    found = write_masks(maps, options.images, names, options.masks, top=options.top)
    if options.show is not None:
        title, count = "Input of the network, and its classes", len(images)
        draw_segmentation(images, None, maps, names, options.show, title=title, count=count, over_images=True)
    if options.json:
        print_json(found)
        return 0
    shares = [[f"{each['class']} {100 * each['share']:.1f} %" for each in row["classes"]] for row in found]
    widest = max(map(len, shares))
    rows = [
        [row["image"], row["mask"], *words, *[""] * (widest - len(words))]
        for row, words in zip(found, shares, strict=True)
    ]
    print_table(["image", "mask", "share of the pixels", *[""] * (widest - 1)], rows)
    if options.show is not None:
        say(f"what the network gets, and its classes: {options.show}")
    return 0


def _box_in_words(row: dict[str, Any]) -> list[str]:
    """The column of the box, in pixels of the network's input; none where no box is predicted."""
    return [" ".join(f"{value:.1f}" for value in row["box"])] if "box" in row else []
