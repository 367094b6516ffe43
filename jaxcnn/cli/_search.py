"""Find the images of an index that are most similar to an image, by the cosine of their descriptors.

`jaxcnn index RUN IMAGE ...` writes the index. The image is compared with every image of the index, so the result is
exact. --show draws the image with those found.
"""

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from jaxcnn.cli import _invert, _trust
from jaxcnn.cli._descriptors import FILE

if TYPE_CHECKING:
    import numpy as np

HELP = "find the images of an index that are most similar to an image"
EXAMPLES = ("jaxcnn search runs/mine photo.jpg --top 12 --show",)
BLOCK = 65536


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="folder of the run, with an index")
    parser.add_argument("image", type=Path, metavar="IMAGE", help="image file to search for")
    parser.add_argument("--top", type=int, default=8, metavar="K", help="images to find (8)")
    _invert.add_argument(parser)
    parser.add_argument(
        "--show",
        nargs="?",
        type=Path,
        const=Path("search.png"),
        metavar="PICTURE",
        help="draw the image and those found (search.png)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    _trust.add_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Prints the nearest images."""
    import zipfile

    import numpy as np

    from jaxcnn.cli._descriptors import open_describer
    from jaxcnn.cli._output import print_json, print_table, say
    from jaxcnn.train import RunError, RunFolder

    if options.top < 1:
        raise ValueError(f"--top {options.top}: find at least one image.")
    folder = RunFolder.open(options.run_folder)
    file = folder.path / FILE
    if not file.is_file():
        raise RunError(f"{folder.path} has no index. Make one: jaxcnn index {shlex.quote(str(folder.path))} IMAGE ...")
    try:
        with np.load(file) as stored:
            index = dict(stored)
        options.checkpoint, pool = str(index["checkpoint"]), str(index["pool"]) or None
        names, flags, vectors = index["images"], index["inverted"], index["vectors"]
        layer, step = str(index["layer"]), int(index["step"])
        if vectors.ndim != 2 or not len(vectors) == len(names) == len(flags):
            raise ValueError(vectors.shape)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        raise RunError(f"{file} is damaged; make it again by jaxcnn index.") from None
    describer = open_describer(folder, options, layer=layer, pool=pool)
    if describer.model.step != step:
        raise RunError(
            f"the index was made at step {step}, but the checkpoint is of step {describer.model.step}. Make it again "
            f"by jaxcnn index."
        )
    inverted = _invert.which_inverted([options.image], options.invert, dataset=describer.model.dataset)
    query = describer.read([options.image], inverted)
    descriptor = describer.describe(query)[0]
    if len(descriptor) != vectors.shape[1]:
        raise RunError(
            f"{file} has vectors of {vectors.shape[1]} numbers, but those of the run have {len(descriptor)}; make it "
            f"again by jaxcnn index."
        )
    scores, places = nearest(vectors, descriptor, options.top)
    found = [
        {"image": str(names[place]), "cosine": round(float(score), 6)}
        for score, place in zip(scores, places, strict=True)
    ]
    if options.json:
        print_json(found)
    else:
        print_table(["image", "cosine"], [[row["image"], row["cosine"]] for row in found])
    if options.show is not None:
        from jaxcnn.vis import draw_neighbours

        paths = [Path(str(names[place])) for place in places]
        if missing := next((path for path in paths if not path.exists()), None):
            raise RunError(f"nothing is drawn: {missing} of the index is missing. Make it again by jaxcnn index.")
        images = describer.read(paths, [bool(flags[place]) for place in places])
        captions = [options.image.name, *(f"{Path(row['image']).name}\n{row['cosine']:.3f}" for row in found)]  # type: ignore[arg-type]
        draw_neighbours(np.concatenate([query, images]), captions, options.show)
        if not options.json:
            say(f"the image and those found: {options.show}")
    return 0


def nearest(
    vectors: "np.ndarray", query: "np.ndarray", count: int, *, block: int = BLOCK
) -> tuple["np.ndarray", "np.ndarray"]:
    """The largest products of a query with the rows of a matrix, in descending order, and the places of these rows.

    Rows are multiplied a block at a time; of equal products the first is taken.

    >>> import numpy as np
    >>> scores, places = nearest(np.array([[1.0], [3.0], [2.0], [3.0]]), np.array([2.0]), 3, block=2)
    >>> scores.tolist(), places.tolist()
    ([6.0, 6.0, 4.0], [1, 3, 2])
    """
    import numpy as np

    scores, places = np.empty(0), np.empty(0, int)
    for start in range(0, len(vectors), block):
        part = vectors[start : start + block] @ query
        scores, places = np.concatenate([scores, part]), np.concatenate([places, start + np.arange(len(part))])
        order = np.argsort(-scores, kind="stable")[:count]
        scores, places = scores[order], places[order]
    return scores, places
