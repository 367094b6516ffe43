"""Variants: settings that belong together, named in ``VARIANTS`` of an experiment.

An experiment that compares several methods names them::

    VARIANTS = {"max": {}, "mean": {"pooling": "mean"}}

A variant is the ``Config`` with these settings. ``jaxcnn repeat`` trains every variant over every seed.
"""

import dataclasses
import re
from collections.abc import Iterable
from typing import Any

from jaxcnn._hints import did_you_mean
from jaxcnn.train._errors import ConfigError
from jaxcnn.train._runs._config import check_value, find_setting, to_json, with_settings
from jaxcnn.train._runs._discover import ExperimentFile

# A variant's name is also the name of a folder.
_NAME = re.compile(r"[\w+=,-][\w.+=,-]*")


def variants_of(file: ExperimentFile) -> dict[str, dict[str, Any]]:
    """The settings of each variant by its name, checked; empty where the experiment has no variants.

    Args:
        file: the experiment.

    Raises:
        ConfigError: ``VARIANTS`` is not a dict of dicts, a name cannot be the name of a folder, or a setting does not
            exist (the nearest name is suggested) or has a value of another type.

    >>> from jaxcnn.train import find_experiment
    >>> variants_of(find_experiment("bn_mnist"))
    {'with_norm': {}, 'without_norm': {'batch_norm': False}}
    """
    found: dict[str, dict[str, Any]] = {}
    named: Any = file.variants
    if not isinstance(named, dict) or not all(isinstance(changes, dict) for changes in named.values()):
        raise ConfigError(
            f"{file.path}: VARIANTS is {named!r}, expected a dict of dicts of settings, such as "
            f'VARIANTS = {{"max": {{}}, "mean": {{"pooling": "mean"}}}}.'
        )
    for name, changes in named.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ConfigError(
                f"{file.path}: VARIANTS has the name {name!r}. A variant's name is the name of a folder: use letters, "
                f"digits, _, -, +, = and points."
            )
        try:
            found[name] = {
                setting: check_value(to_json(value), find_setting(file.config_class, setting))
                for setting, value in changes.items()
            }
        except ConfigError as error:
            raise ConfigError(f"{file.path}: VARIANTS[{name!r}]: {error}") from None
        if "seed" in changes:
            raise ConfigError(f"{file.path}: VARIANTS[{name!r}] sets the seed; `jaxcnn repeat --seeds` does that.")
    return found


def config_of(file: ExperimentFile, assignments: Iterable[str], *, variant: str | None = None) -> Any:
    """The experiment's config, changed by ``key=value`` texts and by the settings of a variant.

    Args:
        file: the experiment.
        assignments: texts such as ``"epochs=3"``.
        variant: one of the experiment's ``VARIANTS``.

    Raises:
        ConfigError: an unknown name or a value of another type; there is no such variant; or a text changes a setting
            in which the variants differ, so that the name of the variant would be wrong.

    >>> from jaxcnn.train import find_experiment
    >>> config = config_of(find_experiment("bn_mnist"), ["epochs=3"], variant="without_norm")
    >>> config.epochs, config.batch_norm
    (3, False)
    """
    assignments = list(assignments)
    config = with_settings(file.config_class(), assignments)
    if variant is None:
        return config
    variants = variants_of(file)
    if variant not in variants:
        there = did_you_mean(variant, variants) if variants else "It has no VARIANTS."
        raise ConfigError(f"{file.name} has no variant {variant!r}. {there}")
    decided = {setting for changes in variants.values() for setting in changes}
    for assignment in assignments:
        if (setting := assignment.partition("=")[0].strip()) in decided:
            raise ConfigError(
                f"--set {assignment}: the variants of {file.name} differ in {setting}, so that {variant!r} would not "
                f"be what its name says. Train without a variant to set it, with jaxcnn train {file.name} --set "
                f"{assignment}, or add a variant to a copy of the experiment."
            )
    return dataclasses.replace(config, **variants[variant])
