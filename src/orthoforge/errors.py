"""The errors that users meet.

Bad input, a full disk or a damaged checkpoint raises one of these, with a message that names the file, the cause and the way
out. A broken promise inside our own code is an ``assert``.
"""


class OrthoforgeError(Exception):
    """Root of every error that Orthoforge raises on purpose. The message names the file, the cause and the way out.

    Examples:
        >>> from orthoforge import OrthoforgeError, load_recipe
        >>> try:
        ...     load_recipe("basline")
        ... except OrthoforgeError as error:
        ...     print("did you mean `baseline`?" in str(error))
        True
    """


class ConfigError(OrthoforgeError):
    """An option, a recipe or a combination of them cannot work."""


class DataError(OrthoforgeError):
    """A scene, a mask, a tile or a footprint file is not what it must be."""


class NotBuildingsError(DataError):
    """A mask of buildings holds more than building and background."""


class GridError(DataError):
    """Two rasters lie on different grids, or a grid cannot be used (rotated, in degrees, without CRS)."""


class OutputExistsError(OrthoforgeError):
    """The output is there already and ``overwrite`` was not asked for."""


class LockedError(OrthoforgeError):
    """Another process is writing the same output."""


class CheckpointError(OrthoforgeError):
    """A checkpoint is missing, damaged, or does not fit."""


class ResourceError(OrthoforgeError):
    """Not enough disk, memory or permission for what was asked."""


class OutOfMemoryError(ResourceError):
    """A training does not fit into memory; a smaller one may."""


class DivergedError(OrthoforgeError):
    """Training produced NaN or Inf and went on doing so after rolling back."""


# What torch and oneDNN say where memory, or the address space for it, has run out; and Python, of a thread's stack.
_OUT_OF_MEMORY = ("allocate memory", "out of memory", "could not create a primitive", "bad_alloc", "can't start new thread")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether any library's error says that memory has run out."""
    if not isinstance(error, RuntimeError):
        return isinstance(error, MemoryError)
    # torch's own type need not say it in words; this module knows no torch.
    return type(error).__name__ == "OutOfMemoryError" or any(words in str(error) for words in _OUT_OF_MEMORY)


# One row per error: (exit code of the command line, HTTP status of the server). A subclass without a row uses its parent's.
CODES: dict[type[OrthoforgeError], tuple[int, int]] = {
    OrthoforgeError: (1, 500),
    ConfigError: (2, 422),
    DataError: (3, 422),
    OutputExistsError: (4, 409),
    LockedError: (5, 409),
    CheckpointError: (6, 500),
    ResourceError: (7, 507),
    DivergedError: (8, 500),
}


def exit_code(error: OrthoforgeError) -> int:
    """Exit code of the command line for ``error``."""
    return _codes(error)[0]


def http_status(error: OrthoforgeError) -> int:
    """HTTP status of the server for ``error``."""
    return _codes(error)[1]


def _codes(error: OrthoforgeError) -> tuple[int, int]:
    return next(CODES[kind] for kind in type(error).__mro__ if kind in CODES)
