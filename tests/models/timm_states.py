"""The names and shapes of the arrays in timm's state dicts.

``python -m tests.models.timm_states`` rewrites ``timm.json``, which has a digest for each model; it requires timm.
"""

import json
from pathlib import Path

from tests.models.torchvision_states import digest

STORED = Path(__file__).with_name("timm.json")
# Our name: timm's.
MODELS = {
    "convnext_tiny": "convnext_tiny",
    "efficientnet_b0": "efficientnet_b0",
    "mobilenet_v2": "mobilenetv2_100",
    **{f"resnet{depth}": f"resnet{depth}" for depth in (18, 34, 50, 101, 152)},
    **{f"vgg{depth}{bn}": f"vgg{depth}{bn}" for depth in (11, 13, 16, 19) for bn in ("", "_bn")},
    "vit_b_16": "vit_base_patch16_224",
    "vit_s_16": "vit_small_patch16_224",
}


def main() -> None:
    import timm

    found = {}
    for name, theirs in MODELS.items():
        state = timm.create_model(theirs).state_dict()
        shapes = {key: tuple(value.shape) for key, value in state.items() if not key.endswith("num_batches_tracked")}
        found[name] = digest(shapes)
    STORED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
