"""Small networks with weights drawn by NumPy, and the attributions that captum computes for them.

``python -m tests.attribution.captum_maps`` rewrites ``captum.json``; it requires captum. Captum replaces the derivative
of ``torch.nn.ReLU`` modules only, so each use of a rectifier is a module of its own here.
"""

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np

STORED = Path(__file__).with_name("captum.json")
TARGETS = (1, 3)  # one class for each of the two images
# For each network: the shape of the images, and the name of the Grad-CAM layer in PyTorch and in our model.
SETTINGS = {
    "lenet": ((2, 32, 32, 1), "c3", "c3()"),
    "vgg": ((2, 20, 20, 3), "conv2_2", "conv2_2()"),
    "resnet": ((2, 40, 40, 3), "stage2_block0.conv2", "stage2_block0/conv2()"),
}
WINDOW, STRIDES = (7, 5), (4, 3)
KEPT = 8


def drawn(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A parameter or a statistic, drawn from a seed that depends on its path in our variables."""
    u = np.random.default_rng(zlib.crc32(name.encode())).random(shape)
    if name.endswith("/var"):
        return 0.5 + 1.5 * u
    if len(shape) < 2:
        return 0.6 * u + (0.7 if name.endswith("/scale") else -0.3)
    return (2 * u - 1) * np.sqrt(6 / np.prod(shape[:-1]))


def images(name: str) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(SETTINGS[name][0])


def groups(name: str) -> np.ndarray:
    """Blocks of 5 x 5 pixels."""
    _, height, width, channels = SETTINGS[name][0]
    rows, columns = np.arange(height) // 5, np.arange(width) // 5
    return np.broadcast_to((rows[:, None] * 10 + columns)[None, :, :, None], (1, height, width, channels))


def kept(values: Any) -> dict[str, list[float]]:
    """Some entries of an array, and its projections on random vectors, which depend on all entries."""
    flat = np.asarray(values, np.float64).ravel()
    vectors = np.random.default_rng(2).standard_normal((3, flat.size)) / np.sqrt(flat.size)
    return {
        "scale": [float(np.abs(flat).max())],
        "entries": flat[:: max(flat.size // KEPT, 1)][:KEPT].tolist(),
        "projections": (vectors @ flat).tolist(),
    }


def torch_network(name: str) -> Any:
    """The network in PyTorch, in float64."""
    import torch
    from torch import nn

    class Residual(nn.Module):
        def __init__(self, channels: int, features: int, strides: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(channels, features, 3, strides, 1, bias=False)
            self.norm1 = nn.BatchNorm2d(features)
            self.relu1 = nn.ReLU()
            self.conv2 = nn.Conv2d(features, features, 3, 1, 1, bias=False)
            self.norm2 = nn.BatchNorm2d(features)
            self.relu2 = nn.ReLU()
            self.project = channels != features
            if self.project:
                self.shortcut_conv = nn.Conv2d(channels, features, 1, strides, bias=False)
                self.shortcut_norm = nn.BatchNorm2d(features)

        def forward(self, x: Any) -> Any:
            y = self.norm2(self.conv2(self.relu1(self.norm1(self.conv1(x)))))
            return self.relu2(y + (self.shortcut_norm(self.shortcut_conv(x)) if self.project else x))

    layers: dict[str, dict[str, Any]] = {
        "lenet": {
            "c1": nn.Conv2d(1, 6, 5),
            "r1": nn.ReLU(),
            "s2": nn.MaxPool2d(2),
            "c3": nn.Conv2d(6, 16, 5),
            "r3": nn.ReLU(),
            "s4": nn.MaxPool2d(2),
            "c5": nn.Conv2d(16, 120, 5),
            "r5": nn.ReLU(),
            "flat": nn.Flatten(),
            "f6": nn.Linear(120, 84),
            "r6": nn.ReLU(),
            "output": nn.Linear(84, 10),
        },
        "vgg": {
            "conv1_1": nn.Conv2d(3, 4, 3, 1, 1),
            "r1": nn.ReLU(),
            "pool1": nn.MaxPool2d(2),
            "conv2_1": nn.Conv2d(4, 6, 3, 1, 1),
            "r2": nn.ReLU(),
            "conv2_2": nn.Conv2d(6, 6, 3, 1, 1),
            "r3": nn.ReLU(),
            "pool2": nn.MaxPool2d(2),
            "adapt": nn.AdaptiveAvgPool2d((7, 7)),
            "flat": nn.Flatten(),
            "fc6": nn.Linear(7 * 7 * 6, 12),
            "r6": nn.ReLU(),
            "fc7": nn.Linear(12, 12),
            "r7": nn.ReLU(),
            "fc8": nn.Linear(12, 5),
        },
        "resnet": {
            "stem_conv": nn.Conv2d(3, 4, 7, 2, 3, bias=False),
            "stem_norm": nn.BatchNorm2d(4),
            "relu": nn.ReLU(),
            "pool": nn.MaxPool2d(3, 2, 1),
            "stage1_block0": Residual(4, 4, 1),
            "stage2_block0": Residual(4, 8, 2),
            "average": nn.AdaptiveAvgPool2d(1),
            "flat": nn.Flatten(),
            "head": nn.Linear(8, 5),
        },
    }
    network = nn.Sequential()
    for key, layer in layers[name].items():
        network.add_module(key, layer)
    network.double().eval()
    state = {key: _torch_array(name, key, tuple(value.shape)) for key, value in network.state_dict().items()}
    network.load_state_dict({key: torch.from_numpy(value.copy()) for key, value in state.items()})
    return network


def _torch_array(network: str, key: str, shape: tuple[int, ...]) -> np.ndarray:
    """A parameter of the PyTorch network, from the corresponding array of our variables."""
    module, _, kind = key.rpartition(".")
    path, norm = module.replace(".", "/"), "norm" in module
    if kind == "num_batches_tracked":
        return np.array(0)
    if kind.startswith("running_"):
        return drawn(f"{path}/{kind.removeprefix('running_')}", shape)
    if len(shape) == 1:
        return drawn(f"{path}/{'scale' if norm and kind == 'weight' else 'bias'}", shape)
    if len(shape) == 4:
        out, channels, *window = shape
        return drawn(f"{path}/kernel", (*window, channels, out)).transpose(3, 2, 0, 1)
    kernel = drawn(f"{path}/kernel", shape[::-1])
    if network == "vgg" and path == "fc6":  # our order is (height, width, channels)
        kernel = kernel.reshape(7, 7, 6, -1).transpose(2, 0, 1, 3).reshape(kernel.shape)
    return kernel.T


def captum_attributions(name: str) -> dict[str, np.ndarray]:
    """The attributions of captum, with channels last."""
    import captum.attr
    import torch

    network = torch_network(name)
    x = torch.from_numpy(np.ascontiguousarray(images(name).transpose(0, 3, 1, 2)))
    layer, target = network.get_submodule(SETTINGS[name][1]), torch.tensor(TARGETS)
    channels = x.shape[1]
    blocks = torch.from_numpy(np.unique(groups(name), return_inverse=True)[1].reshape(groups(name).shape))
    found = {
        "scores": network(x).detach(),
        "saliency": captum.attr.Saliency(network).attribute(x, target),
        "input_x_gradient": captum.attr.InputXGradient(network).attribute(x, target),
        "guided_backprop": captum.attr.GuidedBackprop(network).attribute(x, target),
        "deconvnet": captum.attr.Deconvolution(network).attribute(x, target),
        "grad_cam": captum.attr.LayerGradCam(network, layer).attribute(x, target)[:, 0],
        "guided_grad_cam": captum.attr.GuidedGradCam(network, layer).attribute(x, target),
        "occlusion": captum.attr.Occlusion(network).attribute(
            x, (channels, *WINDOW), (channels, *STRIDES), target=target
        )[:, 0],
        "feature_ablation": captum.attr.FeatureAblation(network).attribute(
            x, target=target, feature_mask=blocks.permute(0, 3, 1, 2)
        ),
    }
    attributions, gap = captum.attr.IntegratedGradients(network).attribute(
        x, target=target, return_convergence_delta=True
    )
    found |= {"integrated_gradients": attributions, "gap": gap}
    arrays = {key: value.detach().numpy() for key, value in found.items()}
    return {key: np.moveaxis(value, 1, -1) if value.ndim == 4 else value for key, value in arrays.items()}


def main() -> None:
    found = {name: {key: kept(each) for key, each in captum_attributions(name).items()} for name in SETTINGS}
    STORED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
