"""Errors that end a run with a message instead of a traceback."""


class ConfigError(ValueError):
    """A setting, an experiment or a file of settings that cannot be used."""


class RunError(RuntimeError):
    """A run folder that cannot be written, resumed or read, or a training that went wrong."""


class DamageError(RunError):
    """The content of the disk differs from what was saved."""


class OtherDataError(RunError):
    """A run that is resumed with other data than it was trained with."""


class FolderLostError(RunError):
    """The path of a run folder no longer leads to the folder that the run was started in."""
