"""Settings: the frozen dataclass of scalars at the head of an experiment, and ``key=value`` that change it.

The meaning of a setting is written where it is declared, as ``typing.Annotated``::

    epochs: Annotated[int, "passes over the training images"] = 40
"""

import dataclasses
import types
import typing
from collections.abc import Iterable
from typing import Any, TypeVar

from jaxcnn._hints import did_you_mean
from jaxcnn.train._errors import ConfigError

C = TypeVar("C")

_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


@dataclasses.dataclass(frozen=True)
class Setting:
    """One field of a ``Config``: its name, type, default and meaning."""

    name: str
    type: Any
    default: Any
    meaning: str

    @property
    def type_name(self) -> str:
        """The type as a person writes it: ``int``, ``str or none``."""
        return _type_name(self.type)


def _type_name(kind: Any) -> str:
    if isinstance(kind, types.UnionType):
        return " or ".join(_type_name(part) for part in typing.get_args(kind))
    return "none" if kind is types.NoneType else kind.__name__


def settings_of(config_class: type) -> list[Setting]:
    """The settings of a ``Config`` class in the order in which it declares them.

    >>> import dataclasses
    >>> from typing import Annotated
    >>> @dataclasses.dataclass(frozen=True, kw_only=True)
    ... class Config:
    ...     seed: int = 0
    ...     epochs: Annotated[int, "passes over the data"] = 3
    >>> [(s.name, s.type_name, s.default, s.meaning) for s in settings_of(Config)]
    [('seed', 'int', 0, ''), ('epochs', 'int', 3, 'passes over the data')]
    """
    hints = typing.get_type_hints(config_class, include_extras=True)
    found = []
    for field in dataclasses.fields(config_class):
        kind, meaning = hints[field.name], ""
        if typing.get_origin(kind) is typing.Annotated:
            kind, *notes = typing.get_args(kind)
            meaning = " ".join(str(note) for note in notes)
        found.append(Setting(name=field.name, type=kind, default=field.default, meaning=meaning))
    return found


def parse_value(text: str, setting: Setting) -> Any:
    """Reads the text of ``--set key=text`` as the setting's own type.

    Raises:
        ConfigError: the text is not of that type.
    """
    allowed = typing.get_args(setting.type) if isinstance(setting.type, types.UnionType) else (setting.type,)
    if types.NoneType in allowed and text.lower() in ("none", "null", ""):
        return None
    for kind in allowed:
        if kind is bool and text.lower() in (*_TRUE, *_FALSE):
            return text.lower() in _TRUE
        if kind in (int, float, str):
            try:
                return kind(text)
            except ValueError:
                continue
    raise ConfigError(
        f"setting {setting.name}: expected {setting.type_name}, got {text!r}. "
        f"Its default is {setting.default!r}; write for example --set {setting.name}={setting.default}."
    )


def check_value(value: Any, setting: Setting) -> Any:
    """The value where it is of the setting's type (an int serves for a float).

    Raises:
        ConfigError: it is of another type.
    """
    allowed = typing.get_args(setting.type) if isinstance(setting.type, types.UnionType) else (setting.type,)
    if float in allowed and type(value) is int:
        return float(value)
    if type(value) not in allowed:
        raise ConfigError(
            f"setting {setting.name}: expected {setting.type_name}, got {value!r} ({type(value).__name__})."
        )
    return value


def find_setting(config_class: type, name: str) -> Setting:
    """The setting of that name.

    Raises:
        ConfigError: there is none; the nearest name is suggested.
    """
    known = {setting.name: setting for setting in settings_of(config_class)}
    if name not in known:
        raise ConfigError(f"there is no setting {name!r}. {did_you_mean(name, known)}")
    return known[name]


def with_settings(config: C, assignments: Iterable[str]) -> C:
    """A copy of the config changed by ``key=value`` texts, with names and types checked.

    Raises:
        ConfigError: a text without ``=``, an unknown name, or a value of another type.
    """
    changes = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise ConfigError(f"--set wants key=value, got {assignment!r}.")
        changes[name.strip()] = parse_value(text.strip(), find_setting(type(config), name.strip()))
    return dataclasses.replace(config, **changes)  # type: ignore[type-var]


def config_from_json(config_class: type[C], values: dict[str, Any]) -> C:
    """A config from the settings that a run folder recorded; a setting added since keeps its default.

    Raises:
        ConfigError: a recorded setting is unknown to the class, or of another type.
    """
    return config_class(
        **{name: check_value(value, find_setting(config_class, name)) for name, value in values.items()}
    )
