"""Settings: the frozen dataclass of scalars at the head of an experiment, and ``key=value`` that change it.

The meaning of a setting is written where it is declared, as ``typing.Annotated``::

    epochs: Annotated[int, "passes over the training images"] = 40
"""

import contextlib
import dataclasses
import enum
import pathlib
import types
import typing
from collections.abc import Iterable
from typing import Any, TypeVar

from jaxcnn._hints import did_you_mean
from jaxcnn._reprs import setting_text
from jaxcnn.train._errors import ConfigError

C = TypeVar("C")

_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
_SUPPORTED = "bool, int, float, str, pathlib.Path, an Enum, Literal[...], tuple[...] of these, and X | None"


@dataclasses.dataclass(frozen=True)
class Setting:
    """One field of a ``Config``: its name, type, default and meaning."""

    name: str
    type: Any
    default: Any
    meaning: str

    @property
    def type_name(self) -> str:
        """The type as a person writes it: ``int``, ``str or none``, ``sgd or adam``, ``int,int,...``."""
        return _type_name(self.type)

    def parse(self, text: str) -> Any:
        """The value of a text as ``--set`` takes it; the entries of a tuple have commas between them.

        Raises:
            ConfigError: the text is not of the type of the setting.
        """
        return parse_value(text, self)

    def text(self, value: Any) -> str:
        """A value of the setting as ``--set`` takes it."""
        return setting_text(value)

    def to_json(self) -> dict[str, Any]:
        """Name, type, default and meaning, as ``jaxcnn show --json`` prints them."""
        about = {"name": self.name, "type": self.type_name}
        return about | {"default": to_json(self.default), "meaning": self.meaning}


def _type_name(kind: Any) -> str:
    arguments = typing.get_args(kind)
    if _is_union(kind):
        return " or ".join(_type_name(part) for part in arguments)
    if typing.get_origin(kind) is typing.Literal:
        return " or ".join(str(option) for option in arguments)
    if typing.get_origin(kind) is tuple:
        names = [_type_name(part) for part in arguments if part is not Ellipsis]
        return ",".join(names * 2 + ["..."] if Ellipsis in arguments else names)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return " or ".join(kind.__members__)
    plain: dict[Any, str] = {types.NoneType: "none", pathlib.Path: "path"}
    return plain.get(kind) or str(getattr(kind, "__name__", kind))


def _is_union(kind: Any) -> bool:
    return isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union


def settings_of(config_class: type) -> list[Setting]:
    """The settings of a ``Config`` class in the order in which it declares them.

    Args:
        config_class: a dataclass; the meaning of a setting is the text of its ``typing.Annotated``.

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
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        found.append(Setting(name=field.name, type=kind, default=default, meaning=meaning))
    return found


def parse_value(text: str, setting: Setting) -> Any:
    """Reads the text of ``--set key=text`` as the setting's own type; the entries of a tuple have commas between them.

    Raises:
        ConfigError: the text is not of that type.
    """
    try:
        return _parse(text, setting.type)
    except ValueError:
        raise ConfigError(
            f"setting {setting.name}: expected {setting.type_name}, got {text!r}. {_hint(text, setting)}"
        ) from None


def _hint(text: str, setting: Setting) -> str:
    """The nearest of a fixed set of values, or an example."""
    near = did_you_mean(text, _options(setting.type)) if _options(setting.type) else ""
    if near.startswith("Did"):
        return near
    return (
        f"Its default is {setting.default!r}; write for example --set {setting.name}={setting_text(setting.default)}."
    )


def _options(kind: Any) -> list[str]:
    """The values of a type that has a fixed set of them, as texts."""
    if _is_union(kind):
        return [option for part in typing.get_args(kind) for option in _options(part)]
    if typing.get_origin(kind) is typing.Literal:
        return [str(option) for option in typing.get_args(kind)]
    return list(kind.__members__) if isinstance(kind, type) and issubclass(kind, enum.Enum) else []


def _parse(text: str, kind: Any) -> Any:
    """The text as a value of a type.

    Raises:
        ValueError: it is not a value of this type.
    """
    arguments = typing.get_args(kind)
    if _is_union(kind):
        for part in sorted(arguments, key=lambda part: part is not types.NoneType):
            with contextlib.suppress(ValueError):
                return _parse(text, part)
    elif kind is types.NoneType and text.lower() in ("none", "null", ""):
        return None
    elif typing.get_origin(kind) is typing.Literal:
        for option in arguments:
            if text == str(option) or (not isinstance(option, str) and text.lower() == str(option).lower()):
                return option
    elif typing.get_origin(kind) is tuple:
        words = [word.strip() for word in text.strip("()[] ").split(",") if word.strip()]
        return tuple(_parse(word, part) for word, part in zip(words, _entries(arguments, len(words)), strict=True))
    elif kind is bool and text.lower() in (*_TRUE, *_FALSE):
        return text.lower() in _TRUE
    elif isinstance(kind, type) and issubclass(kind, enum.Enum) and text in kind.__members__:
        return kind[text]
    elif kind in (int, float, str, pathlib.Path):
        return kind(text)
    raise ValueError(text)


def _entries(arguments: tuple[Any, ...], count: int) -> tuple[Any, ...]:
    """The types of ``count`` entries of a tuple."""
    return arguments[:1] * count if arguments[1:] == (Ellipsis,) else arguments


def check_value(value: Any, setting: Setting) -> Any:
    """The value of a setting from its JSON value (an int is also a float).

    Raises:
        ConfigError: it is of another type.
    """
    try:
        return _from_json(value, setting.type)
    except ValueError:
        raise ConfigError(
            f"setting {setting.name}: expected {setting.type_name}, got {value!r} ({type(value).__name__}). "
            f"Types that a setting may have: {_SUPPORTED}."
        ) from None


def _from_json(value: Any, kind: Any) -> Any:
    """A JSON value as a value of a type.

    Raises:
        ValueError: it is not a value of this type.
    """
    arguments = typing.get_args(kind)
    if _is_union(kind):
        for part in arguments:
            with contextlib.suppress(ValueError):
                return _from_json(value, part)
    elif typing.get_origin(kind) is typing.Literal:
        for option in arguments:
            if type(value) is type(option) and value == option:
                return option
    elif typing.get_origin(kind) is tuple and isinstance(value, list):
        return tuple(_from_json(each, part) for each, part in zip(value, _entries(arguments, len(value)), strict=True))
    elif isinstance(kind, type) and issubclass(kind, enum.Enum):
        if isinstance(value, str) and value in kind.__members__:
            return kind[value]
    elif kind is pathlib.Path and isinstance(value, str):
        return pathlib.Path(value)
    elif kind is float and type(value) is int:
        return float(value)
    elif kind in (bool, int, float, str, types.NoneType) and type(value) is kind:
        return value
    raise ValueError(value)


def to_json(value: Any) -> Any:
    """A value as JSON holds it: a list for a tuple, the name of a member of an Enum, the text of a path."""
    if isinstance(value, tuple):
        return [to_json(each) for each in value]
    if isinstance(value, enum.Enum):
        return value.name
    return str(value) if isinstance(value, pathlib.Path) else value


def settings_to_json(config: Any) -> dict[str, Any]:
    """The settings of a config as JSON holds them, from which ``config_from_json`` makes the same config.

    Raises:
        ConfigError: a setting has a value of another type than it declares, or a type that cannot be read back.

    >>> import dataclasses
    >>> from typing import Literal
    >>> @dataclasses.dataclass(frozen=True, kw_only=True)
    ... class Config:
    ...     optimizer: Literal["sgd", "adam"] = "sgd"
    ...     widths: tuple[int, ...] = (8, 16)
    >>> settings_to_json(Config())
    {'optimizer': 'sgd', 'widths': [8, 16]}
    >>> config_from_json(Config, settings_to_json(Config())) == Config()
    True
    """
    found = {setting.name: to_json(getattr(config, setting.name)) for setting in settings_of(type(config))}
    config_from_json(type(config), found)
    return found


def find_setting(config_class: type, name: str) -> Setting:
    """The setting of a ``Config`` class with a given name.

    Args:
        config_class: a dataclass, as an experiment file declares it.
        name: of the setting.

    Raises:
        ConfigError: there is none; the nearest name is suggested.

    >>> import dataclasses
    >>> @dataclasses.dataclass(frozen=True, kw_only=True)
    ... class Config:
    ...     epochs: int = 3
    >>> find_setting(Config, "epochs").parse("5")
    5
    """
    known = {setting.name: setting for setting in settings_of(config_class)}
    if name not in known:
        raise ConfigError(f"there is no setting {name!r}. {did_you_mean(name, known)}")
    return known[name]


def with_settings(config: C, assignments: Iterable[str]) -> C:
    """A copy of a config, changed by ``key=value`` texts whose names and types are checked.

    Args:
        config: a frozen dataclass, as an experiment file declares it.
        assignments: texts such as ``"epochs=3"``, as ``--set`` takes them.

    Raises:
        ConfigError: a text without ``=``, an unknown name, or a value of another type.

    >>> import dataclasses
    >>> @dataclasses.dataclass(frozen=True, kw_only=True)
    ... class Config:
    ...     epochs: int = 3
    >>> with_settings(Config(), ["epochs=5"])
    Config(epochs=5)
    """
    changes = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise ConfigError(f"expected --set key=value, got {assignment!r}.")
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
