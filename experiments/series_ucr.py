"""Three convolutional networks on six sets of the time-series archive of UCR and UEA.

A fully convolutional network and a residual one (Wang et al. 2017), and one network of InceptionTime (Fawaz et al.
2020), on the fixed training and test parts of GunPoint, ItalyPowerDemand, ArrowHead and OSULeaf (one channel),
BasicMotions (6 channels) and JapaneseVowels (12 channels; series of 7 to 29 entries, padded with a mask that every
layer respects). Adam with batches of a tenth of the series, at most 16 (InceptionTime: 64), as in the papers. The
papers train for 1500 to 2000 epochs, halve the rate when the training loss stagnates, and test the weights of the
lowest training loss. Here the rate decreases from 1e-3 to 1e-4 along half a cosine in fewer epochs, and the last
weights are tested. Batch statistics average over about 10 steps (momentum 0.9), since the runs are shorter.
`gunpoint_fcn_permuted` is a control that trains on the labels of other series.

The archive's files are not part of the library: `--set archive=PATH` names a folder, or a zip file of one, with
GunPoint/GunPoint_TRAIN.ts and so on.

run     jaxcnn repeat series_ucr --seeds 3 --set archive=PATH
        jaxcnn repeat series_ucr --seeds 3 --set archive=PATH --variant gunpoint_fcn
cost    1 to 5 minutes a run on 1 core, about 12 on OSULeaf
result  gunpoint_fcn: 100.00 ± 0.00 % test accuracy, 0.00 ± 0.00 % error over 3 seeds
result  gunpoint_resnet: 99.33 ± 0.00 % test accuracy, 0.67 ± 0.00 % error over 3 seeds
result  gunpoint_inception_time: 99.78 ± 0.38 % test accuracy, 0.22 ± 0.38 % error over 3 seeds
result  italy_power_demand_fcn: 96.31 ± 0.10 % test accuracy, 3.69 ± 0.10 % error over 3 seeds
result  italy_power_demand_resnet: 96.24 ± 0.54 % test accuracy, 3.76 ± 0.54 % error over 3 seeds
result  italy_power_demand_inception_time: 96.31 ± 0.26 % test accuracy, 3.69 ± 0.26 % error over 3 seeds
result  arrow_head_fcn: 81.33 ± 1.44 % test accuracy, 18.67 ± 1.44 % error over 3 seeds
result  arrow_head_resnet: 82.86 ± 0.57 % test accuracy, 17.14 ± 0.57 % error over 3 seeds
result  arrow_head_inception_time: 82.10 ± 3.35 % test accuracy, 17.90 ± 3.35 % error over 3 seeds
result  osu_leaf_fcn: 97.80 ± 0.24 % test accuracy, 2.20 ± 0.24 % error over 3 seeds
result  osu_leaf_resnet: 97.38 ± 0.63 % test accuracy, 2.62 ± 0.63 % error over 3 seeds
result  osu_leaf_inception_time: 92.84 ± 1.04 % test accuracy, 7.16 ± 1.04 % error over 3 seeds
result  basic_motions_fcn: 100.00 ± 0.00 % test accuracy, 0.00 ± 0.00 % error over 3 seeds
result  basic_motions_resnet: 100.00 ± 0.00 % test accuracy, 0.00 ± 0.00 % error over 3 seeds
result  basic_motions_inception_time: 100.00 ± 0.00 % test accuracy, 0.00 ± 0.00 % error over 3 seeds
result  japanese_vowels_fcn: 99.10 ± 0.31 % test accuracy, 0.90 ± 0.31 % error over 3 seeds
result  japanese_vowels_resnet: 99.37 ± 0.41 % test accuracy, 0.63 ± 0.41 % error over 3 seeds
result  japanese_vowels_inception_time: 98.11 ± 0.27 % test accuracy, 1.89 ± 0.27 % error over 3 seeds
result  gunpoint_fcn_permuted: 28.22 ± 12.01 % test accuracy, 71.78 ± 12.01 % error over 3 seeds
        Published, FCN, ResNet (dl-4-tsc, 5 runs) and InceptionTime (5 networks):
        GunPoint 100.0, 99.1, 100.0 %; ItalyPowerDemand 96.3, 96.2, 96.8 %; ArrowHead 84.3, 83.8, 82.9 %;
        OSULeaf 97.9, 98.0, 93.4 %
"""

import dataclasses
import functools
from typing import Annotated, Any, Literal

import numpy as np
import optax

from jaxcnn import data, models, nn
from jaxcnn.train import Experiment, classification, with_schedule

SETS = {
    "gunpoint": ("GunPoint", 300),
    "italy_power_demand": ("ItalyPowerDemand", 300),
    "arrow_head": ("ArrowHead", 300),
    "osu_leaf": ("OSULeaf", 200),
    "basic_motions": ("BasicMotions", 200),
    "japanese_vowels": ("JapaneseVowels", 200),
}
NETWORKS = {"fcn": "fcn_1d", "resnet": "resnet_1d", "inception_time": "inception_time"}
VARIANTS: dict[str, dict[str, Any]] = {
    f"{name}_{network}": {"dataset": dataset, "network": network, "epochs": epochs}
    for name, (dataset, epochs) in SETS.items()
    for network in NETWORKS
} | {"gunpoint_fcn_permuted": {"dataset": "GunPoint", "network": "fcn", "epochs": 300, "permuted": True}}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The scalars that people sweep."""

    archive: Annotated[str, "folder or zip file with the sets"] = "ucr.zip"
    dataset: Annotated[str, "name of a set, as in its files"] = "GunPoint"
    network: Annotated[Literal["fcn", "resnet", "inception_time"], "which network"] = "fcn"
    permuted: Annotated[bool, "train on the labels of other series, as a control"] = False
    seed: Annotated[int, "determines initial parameters and order"] = 0
    epochs: Annotated[int, "passes over the training series"] = 300
    batch_size: Annotated[int, "series of a step; 0 for the paper's"] = 0
    peak_lr: Annotated[float, "initial learning rate"] = 1e-3
    last_lr: Annotated[float, "learning rate of the last step"] = 1e-4


def build(config: Config) -> Experiment:
    """The run that a config describes."""
    series = data.series(config.archive, name=config.dataset)
    if config.permuted:
        labels = np.random.default_rng(0).permutation(series.train["label"])
        series = dataclasses.replace(series, train=series.train.replace(label=labels))
    count = len(series.train)
    usual = min(count, 64) if config.network == "inception_time" else max(1, min(count // 10, 16))
    batch_size = config.batch_size or usual
    total_steps = config.epochs * data.steps_per_epoch(count, batch_size)
    schedule = optax.cosine_decay_schedule(config.peak_lr, total_steps, alpha=config.last_lr / config.peak_lr)
    model = models.create(
        NETWORKS[config.network],
        num_classes=len(series.class_names),
        norm=functools.partial(nn.BatchNorm, momentum=0.9, epsilon=1e-3),
    )
    unequal = not (series.train["mask"].all() and series.test["mask"].all())
    return Experiment(
        **classification(model, source="series", mask="mask" if unequal else None),
        data=series,
        optimizer=with_schedule(optax.adam, schedule),
        epochs=config.epochs,
        batch_size=batch_size,
        seed=config.seed,
        evaluate_every=max(1, config.epochs // 12),
    )
