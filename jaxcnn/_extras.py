"""The packages that ``pip install 'jaxcnn[train]'`` adds to the core, and what is said where one of them is missing."""

# Names as they are imported.
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
    """The same error, with the command that installs the package where it belongs to the extra.

    >>> with_hint(ModuleNotFoundError("No module named 'grain'", name="grain"))
    ModuleNotFoundError("No module named 'grain': it comes with pip install 'jaxcnn[train]'")
    """
    if (error.name or "").split(".")[0] not in TRAIN:
        return error
    return ModuleNotFoundError(f"{error.msg}: it comes with pip install 'jaxcnn[train]'", name=error.name)
