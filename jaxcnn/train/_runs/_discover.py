"""Experiments by name or by path.

A name is looked up in ``./experiments``, then among those that the package carries; a path to a file works too,
so a fork is a copied file.
"""

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import jaxcnn.shapes  # the package's own folder is found through its lowest layer
from jaxcnn._hints import did_you_mean
from jaxcnn.train._errors import ConfigError
from jaxcnn.train._experiment import Experiment

_PACKAGE = Path(jaxcnn.shapes.__file__).parent.parent


@dataclasses.dataclass(frozen=True)
class ExperimentFile:
    """A loaded experiment.

    Attributes:
        name: what the experiment is called.
        path: of its file.
        siblings: the folder whose modules the file may import.
        source: the text of the file.
        doc: its docstring.
        config_class: its ``Config``.
        build_function: its ``build``; the method ``build`` checks what it returns.
        variants: its ``VARIANTS``, which ``variants_of`` checks; empty unless it has them.
    """

    name: str
    path: Path
    siblings: Path
    source: str
    doc: str
    config_class: type
    build_function: Callable[[Any], Any]
    variants: dict[str, dict[str, Any]]

    def build(self, config: Any) -> Experiment:
        """The experiment for a config.

        Raises:
            ConfigError: ``build`` in the file returns something other than an ``Experiment``.
        """
        experiment = self.build_function(config)
        if not isinstance(experiment, Experiment):
            raise ConfigError(
                f"{self.path}: build(config) returns {'None' if experiment is None else type(experiment).__name__}, "
                f"expected an Experiment." + (" Does it lack a return statement?" if experiment is None else "")
            )
        return experiment

    @property
    def headline(self) -> str:
        """The first line of the experiment's docstring."""
        return self.doc.strip().splitlines()[0] if self.doc.strip() else ""


def experiment_folders() -> list[Path]:
    """The folders in which a name is looked up, in order; only those that exist.

    An installed wheel carries the experiments inside the package; a checkout has them next to it.

    >>> [folder.name for folder in experiment_folders()]
    ['experiments']
    """
    candidates = [Path.cwd() / "experiments", _PACKAGE / "_experiments", _PACKAGE.parent / "experiments"]
    found: list[Path] = []
    for folder in candidates:
        if folder.is_dir() and folder.resolve() not in [other.resolve() for other in found]:
            found.append(folder)
    return found


def list_packaged() -> list[Path]:
    """The files of the experiments that the package carries, in a wheel or in a checkout."""
    folders = (_PACKAGE / "_experiments", _PACKAGE.parent / "experiments")
    return [path for folder in folders for path in sorted(folder.glob("*.py"))]


def list_experiments() -> dict[str, Path]:
    """Every experiment that can be called by name, with its file; the first folder wins.

    >>> "lenet5_digits" in list_experiments()
    True
    """
    files: dict[str, Path] = {}
    for folder in experiment_folders():
        for path in sorted(folder.glob("*.py")):
            if not path.stem.startswith("_"):
                files.setdefault(path.stem, path)
    return dict(sorted(files.items()))


def find_experiment(name_or_path: str) -> ExperimentFile:
    """Loads an experiment.

    Args:
        name_or_path: its name, as ``list_experiments`` has it, or the path of its file.

    Raises:
        ConfigError: there is no such experiment (the nearest name is suggested), or its file lacks
            ``Config`` or ``build``, or a setting has no default.

    >>> find_experiment("lenet5_digits").path.name
    'lenet5_digits.py'
    """
    if name_or_path.endswith(".py"):
        path = Path(name_or_path)
        if not path.is_file():
            raise ConfigError(f"there is no experiment file {name_or_path}.")
        return load_experiment(path)
    known = list_experiments()
    if name_or_path not in known:
        folders = ", ".join(str(folder) for folder in experiment_folders()) or "no folder at all"
        raise ConfigError(
            f"there is no experiment {name_or_path!r} in {folders}. {did_you_mean(name_or_path, known)} "
            f"A path to a .py file works too."
        )
    return load_experiment(known[name_or_path])


def load_experiment(
    path: Path, *, name: str | None = None, siblings: Path | None = None, source: str | None = None
) -> ExperimentFile:
    """Runs an experiment file and takes its ``Config``, its ``build`` and, where it has them, its ``VARIANTS``.

    Args:
        path: the file.
        name: what the experiment is called; by default the file's stem.
        siblings: the folder whose modules the file may import; by default its own.
        source: the text of the file, if it has been read already; exactly this text is run.

    Raises:
        ConfigError: the file lacks ``Config`` or ``build``, a setting has no default, or its path is not UTF-8.
    """
    check_path(path)
    name = name or path.stem
    source = path.read_text(encoding="utf-8") if source is None else source
    siblings = siblings or path.parent
    module = _run_module(path, source, f"jaxcnn_experiment_{name}", siblings)
    config_class, build = getattr(module, "Config", None), getattr(module, "build", None)
    if not (isinstance(config_class, type) and dataclasses.is_dataclass(config_class) and callable(build)):
        raise ConfigError(f"{path} is not an experiment: it needs a dataclass Config and a function build(config).")
    for field in dataclasses.fields(config_class):
        if field.init and field.default is field.default_factory is dataclasses.MISSING:
            raise ConfigError(
                f"{path}: the setting {field.name} of Config has no default, and `jaxcnn train` without --set has to "
                f"make a Config. Give it one."
            )
    return ExperimentFile(
        name=name,
        path=path.resolve(),
        siblings=siblings.resolve(),
        source=source,
        doc=module.__doc__ or "",
        config_class=config_class,
        build_function=build,
        variants=getattr(module, "VARIANTS", {}),
    )


def check_path(path: Path) -> None:
    """Refuses a path that is not UTF-8: XLA, which records where each operation comes from, cannot compile it.

    Raises:
        ConfigError: it is not UTF-8.
    """
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError:
        raise ConfigError(f"the path {str(path)!r} is not UTF-8, and XLA needs one that is. Rename it.") from None


def _run_module(path: Path, source: str, module_name: str, siblings: Path) -> ModuleType:
    """Runs the text itself: Python's import would prefer compiled code from ``__pycache__`` next to the file."""
    module = ModuleType(module_name)
    module.__file__ = str(path)
    sys.modules[module_name] = module  # dataclasses look their module up by name
    folder = str(siblings.resolve())
    sys.path.insert(0, folder)
    try:
        exec(compile(source, str(path), "exec", dont_inherit=True), module.__dict__)
    finally:
        sys.path.remove(folder)
    return module
