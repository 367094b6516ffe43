"""Index image files by a layer of a run's network, so that `jaxcnn search` finds similar images.

The maps of the layer are pooled into one vector for each image: gem (the generalised mean with p = 3), mac (maxima),
spoc (means) or r_mac (maxima of regions). The vectors and the paths of the images are written into the run folder.
Images are read as by `jaxcnn predict`.
"""

import argparse
from pathlib import Path

from jaxcnn.cli import _invert, _trust
from jaxcnn.cli._descriptors import FILE, POOLS

HELP = "index image files for `jaxcnn search`"
EXAMPLES = (
    "jaxcnn index runs/mine photos/*.jpg",
    "jaxcnn index runs/mine photos/*.jpg --layer stage3 --pool r_mac",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="folder of the run")
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="image files")
    parser.add_argument("--layer", metavar="NAME", help="layer of the network (the last layer of maps)")
    parser.add_argument("--pool", choices=POOLS, help="pooling of its maps to one vector (gem)")
    _invert.add_argument(parser)
    parser.add_argument("--checkpoint", choices=("last", "best"), default="last", help="the checkpoint (last)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    _trust.add_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Writes the descriptors of all images."""
    import numpy as np

    from jaxcnn._files import replacing
    from jaxcnn.cli._descriptors import open_describer
    from jaxcnn.cli._output import print_json, say
    from jaxcnn.train import RunFolder

    folder = RunFolder.open(options.run_folder)
    describer = open_describer(folder, options, layer=options.layer, pool=options.pool)
    paths = [path.resolve() for path in options.images]
    inverted = _invert.which_inverted(paths, options.invert, dataset=describer.model.dataset)
    parts = []
    for start in range(0, len(paths), 1024):  # as many images are held in memory at once
        part = slice(start, start + 1024)
        parts.append(describer.describe(describer.read(paths[part], inverted[part])))
    vectors = np.concatenate(parts)
    with replacing(folder.path / FILE) as file:
        np.savez(
            file,
            vectors=vectors,
            images=np.array([str(path) for path in paths]),
            inverted=np.array(inverted),
            layer=describer.layer,
            pool=describer.pool,
            checkpoint=options.checkpoint,
            step=describer.model.step,
        )
    about = {
        "images": len(paths),
        "channels": vectors.shape[1],
        "layer": describer.layer,
        "pool": describer.pool,
        "index": str(folder.path / FILE),
    }
    if options.json:
        print_json(about)
        return 0
    pooled = f", {describer.pool}" if describer.pool else ""
    say(f"{len(paths)} images by {vectors.shape[1]} channels of {describer.layer}{pooled}: {folder.path / FILE}")
    return 0
