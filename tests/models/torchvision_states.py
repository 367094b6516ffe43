"""State dicts drawn by NumPy from a seed, and the logits of torchvision's models with them.

``python -m tests.models.torchvision_states`` rewrites ``torchvision.json``; it requires torchvision. The file has a
digest of the names and shapes of the state dict of each model, and for some models a few logits of one example.
"""

import hashlib
import json
import operator
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

STORED = Path(__file__).with_name("torchvision.json")
# Our name: torchvision's name, and its options.
NOTHING_DOWNLOADED = {"weights": None, "weights_backbone": None}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "alexnet": ("alexnet", {}),
    "convnext_tiny": ("convnext_tiny", {}),
    **{
        f"{head}_resnet{depth}": (f"segmentation.{head}_resnet{depth}", NOTHING_DOWNLOADED)
        for head in ("deeplabv3", "fcn")
        for depth in (50, 101)
    },
    "efficientnet_b0": ("efficientnet_b0", {}),
    "googlenet_torchvision": ("googlenet", {"aux_logits": False, "init_weights": False}),
    "mobilenet_v2": ("mobilenet_v2", {}),
    **{f"resnet{depth}": (f"resnet{depth}", {}) for depth in (18, 34, 50, 101, 152)},
    **{name: (f"video.{name}", {}) for name in ("mc3_18", "r2plus1d_18", "r3d_18")},
    **{f"vgg{depth}{bn}": (f"vgg{depth}{bn}", {}) for depth in (11, 13, 16, 19) for bn in ("", "_bn")},
    "vit_b_16": ("vit_b_16", {}),
}
# One model of each family, at the smallest image size that all of them support; videos have the size of their papers.
COMPUTED = (
    "alexnet",
    "convnext_tiny",
    "deeplabv3_resnet50",
    "efficientnet_b0",
    "fcn_resnet50",
    "googlenet_torchvision",
    "mc3_18",
    "mobilenet_v2",
    "r2plus1d_18",
    "r3d_18",
    "resnet18",
    "resnet50",
    "vgg11_bn",
)
SIZE, KEPT = 64, 8


def generated(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """A state dict of random weights and batch statistics with which activations neither vanish nor explode."""
    rng, state = np.random.default_rng(0), {}
    for name, shape in sorted(shapes.items()):
        u = rng.random(shape, np.float32)
        if name.endswith("running_var"):
            state[name] = 0.5 + 1.5 * u
        elif len(shape) < 2 or "layer_scale" in name:
            state[name] = 0.6 * u + (0.7 if name.endswith("weight") else -0.3)
        else:
            state[name] = (2 * u - 1) * np.sqrt(6 / np.prod(shape[1:])).astype(np.float32)
    return state


def example(name: str, size: int) -> np.ndarray:
    """A random image of a size, or a random video of 16 frames of 112 x 112, the size that its networks are for."""
    shape = (1, 16, 112, 112, 3) if MODELS[name][0].startswith("video.") else (1, size, size, 3)
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def digest(shapes: Mapping[str, tuple[int, ...]]) -> str:
    text = json.dumps(sorted((name, list(shape)) for name, shape in shapes.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def shapes_there(name: str) -> tuple[Any, dict[str, tuple[int, ...]]]:
    """torchvision's model, and the shapes of its state dict without the counters of batches."""
    import torchvision

    theirs, options = MODELS[name]
    model = operator.attrgetter(theirs)(torchvision.models)(**options).eval()
    shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    return model, {key: shape for key, shape in shapes.items() if not key.endswith("num_batches_tracked")}


def logits_there(model: Any, state: Mapping[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    import torch

    model.load_state_dict({name: torch.from_numpy(np.array(tensor)) for name, tensor in state.items()})
    with torch.no_grad():
        found = model(torch.from_numpy(np.ascontiguousarray(np.moveaxis(x, -1, 1))))
    return np.moveaxis(found["out"].numpy(), 1, -1) if isinstance(found, dict) else found.numpy()


def kept(logits: np.ndarray) -> np.ndarray:
    """The logits that are stored for an image, at equal distances."""
    return np.asarray(logits).ravel()[:: logits.size // KEPT][:KEPT]


def main() -> None:
    found: dict[str, Any] = {}
    for name in MODELS:
        model, shapes = shapes_there(name)
        found[name] = {"digest": digest(shapes)}
        if name in COMPUTED:
            logits = logits_there(model, generated(shapes), example(name, SIZE))[0]
            found[name] |= {"scale": float(np.abs(logits).max()), "logits": [float(value) for value in kept(logits)]}
    STORED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
