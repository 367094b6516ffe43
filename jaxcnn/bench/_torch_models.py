"""The networks of the five training steps in PyTorch, where it is installed, and their steps."""

import functools
import time
from typing import Any

from jaxcnn import models
from jaxcnn.bench._layers import Step
from jaxcnn.bench._program import Program, random_array
from jaxcnn.bench._torch_layers import load


def make(step: Step) -> Program:
    """A step of SGD with momentum, in eager mode and in the faster one of the two layouts.

    The weights are PyTorch's own initial ones.
    """
    torch = load()
    programs = [_step(torch, step, form) for form in (torch.contiguous_format, torch.channels_last)]
    return Program(min(programs, key=_one_run))


def _one_run(run: Any) -> float:
    run()
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _step(torch: Any, step: Step, form: Any) -> Any:
    model = MODELS[step.name](torch, step.num_classes).to(memory_format=form).train()
    x = torch.from_numpy(random_array("x", step.x_shape)).permute(0, 3, 1, 2).contiguous(memory_format=form)
    labels = torch.arange(step.x_shape[0]) % step.num_classes
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def run() -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), labels).backward()
        optimizer.step()

    return run


def _residual(torch: Any, branch: Any, shortcut: Any, after: Any) -> Any:
    """A module that adds a branch to a shortcut."""

    class Residual(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.branch, self.shortcut, self.after = branch, shortcut, after

        def forward(self, x: Any) -> Any:
            return self.after(self.branch(x) + self.shortcut(x))

    return Residual()


def _function(torch: Any, function: Any) -> Any:
    """A module without parameters."""

    class Function(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return function(x)

    return Function()


def _scale(torch: Any, channels: int) -> Any:
    """A module that multiplies each channel by a parameter."""

    class Scale(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.nn.Parameter(torch.full((channels, 1, 1), 0.1))

        def forward(self, x: Any) -> Any:
            return x * self.scale

    return Scale()


def _average(torch: Any) -> Any:
    return _function(torch, lambda x: x.mean((2, 3)))


def _lenet5(torch: Any, num_classes: int) -> Any:
    nn = torch.nn
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 120, 5), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, num_classes)),
    )


def _cifar_speedrun(torch: Any, num_classes: int) -> Any:
    nn = torch.nn

    def norm(width: int) -> Any:
        made = nn.BatchNorm2d(width, eps=1e-12, momentum=0.4)
        made.weight.requires_grad = False
        return made

    whiten = nn.Conv2d(3, 24, 2)
    whiten.weight.requires_grad = False
    layers, before = [whiten, nn.GELU()], 24
    for width in (64, 256, 256):
        layers += [nn.Conv2d(before, width, 3, padding=1, bias=False), nn.MaxPool2d(2), norm(width), nn.GELU()]
        layers += [nn.Conv2d(width, width, 3, padding=1, bias=False), norm(width), nn.GELU()]
        before = width
    head = nn.Linear(before, num_classes, bias=False)
    return nn.Sequential(*layers, nn.MaxPool2d(3), nn.Flatten(), head, _function(torch, lambda x: x / 256))


def _resnet18_cifar(torch: Any, num_classes: int) -> Any:
    nn = torch.nn

    def conv(before: int, after: int, window: int, strides: int) -> list[Any]:
        return [nn.Conv2d(before, after, window, strides, window // 2, bias=False), nn.BatchNorm2d(after)]

    layers, before = [*conv(3, 64, 3, 1), nn.ReLU(inplace=True)], 64
    for width, first in ((64, 1), (128, 2), (256, 2), (512, 2)):
        for strides in (first, 1):
            branch = nn.Sequential(*conv(before, width, 3, strides), nn.ReLU(inplace=True), *conv(width, width, 3, 1))
            same = strides == 1 and before == width
            shortcut = nn.Identity() if same else nn.Sequential(*conv(before, width, 1, strides))
            layers.append(_residual(torch, branch, shortcut, nn.ReLU(inplace=True)))
            before = width
    return nn.Sequential(*layers, _average(torch), nn.Linear(512, num_classes))


def _mobilenet_v2(torch: Any, num_classes: int) -> Any:
    nn = torch.nn

    def conv(before: int, after: int, window: int, strides: int = 1, groups: int = 1) -> list[Any]:
        made = nn.Conv2d(before, after, window, strides, window // 2, groups=groups, bias=False)
        return [made, nn.BatchNorm2d(after), nn.ReLU6(inplace=True)]

    layers, before = conv(3, 32, 3, 2), 32
    for expansion, channels, blocks, first in models.MobileNetV2().stages:
        for index in range(blocks):
            strides, width = 1 if index else first, before * expansion
            parts = conv(before, width, 1) if expansion != 1 else []
            parts += [*conv(width, width, 3, strides, width), *conv(width, channels, 1)[:-1]]
            branch = nn.Sequential(*parts)
            same = strides == 1 and before == channels
            layers.append(_residual(torch, branch, nn.Identity(), nn.Identity()) if same else branch)
            before = channels
    return nn.Sequential(*layers, *conv(before, 1280, 1), _average(torch), nn.Linear(1280, num_classes))


def _convnext_stage(torch: Any, num_classes: int) -> Any:
    nn = torch.nn
    to_last = functools.partial(_function, torch, lambda x: x.permute(0, 2, 3, 1))
    to_second = functools.partial(_function, torch, lambda x: x.permute(0, 3, 1, 2))

    blocks = []
    for _ in range(3):
        dense = (to_last(), nn.LayerNorm(96, eps=1e-6), nn.Linear(96, 384), nn.GELU(), nn.Linear(384, 96), to_second())
        branch = nn.Sequential(nn.Conv2d(96, 96, 7, padding=3, groups=96), *dense, _scale(torch, 96))
        blocks.append(_residual(torch, branch, nn.Identity(), nn.Identity()))
    stem = (nn.Conv2d(3, 96, 4, 4), to_last(), nn.LayerNorm(96, eps=1e-6), to_second())
    return nn.Sequential(*stem, *blocks, _average(torch), nn.LayerNorm(96, eps=1e-6), nn.Linear(96, num_classes))


MODELS = {
    "lenet5": _lenet5,
    "cifar_speedrun": _cifar_speedrun,
    "resnet18_cifar": _resnet18_cifar,
    "mobilenet_v2": _mobilenet_v2,
    "convnext_stage": _convnext_stage,
}
