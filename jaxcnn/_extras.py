"""The packages that ``pip install 'jaxcnn[train]'`` adds to the core, and the error for a missing one."""

# The names of the modules.
TRAIN = {
    "google_crc32c",
    "grain",
    "importlib_resources",
    "matplotlib",
    "optax",
    "orbax",
    "PIL",
    "rich",
    "tensorflow_datasets",
}


def with_hint(error: ModuleNotFoundError) -> ModuleNotFoundError:
    """The error, with the command that installs the package if it belongs to the extra.

    >>> with_hint(ModuleNotFoundError("No module named 'grain'", name="grain"))
    ModuleNotFoundError("No module named 'grain': it comes with pip install 'jaxcnn[train]'")
    """
    if (error.name or "").split(".")[0] not in TRAIN:
        return error
    return ModuleNotFoundError(f"{error.msg}: it comes with pip install 'jaxcnn[train]'", name=error.name)
