"""What may lie beside an image and tell GDAL of its place, overviews and mask. It goes when the image is replaced."""

from collections.abc import Iterator
from pathlib import Path

# After X.tif. GDAL prefers what .aux.xml says to the file itself.
_AFTER_NAME = (".aux.xml", ".aux", ".ovr", ".msk", ".msk.ovr")
# After X, for an image of this suffix.
_WORLD = {".tif": (".tfw", ".tifw"), ".tiff": (".tfw", ".tiffw"), ".png": (".pgw", ".pngw")}
# After X, for whatever is called X.
_AFTER_STEM = (".aux.xml", ".aux", ".wld", ".tab")
_OUR_OWN = (".json", ".c2pa")


def remove_side_files(path: Path) -> None:
    """Remove what speaks of the image ``path``, which is about to be replaced.

    A name that says nothing of the image's suffix is left where something else is called like the image: it may be that one's.
    """
    for name in _names(path):
        file = path.with_name(name)
        if file.is_symlink() or file.is_file():
            file.unlink()


def _names(path: Path) -> Iterator[str]:
    world = _WORLD.get(path.suffix.lower(), ())
    after_stem = [path.stem + suffix for one in (*world, *_AFTER_STEM) for suffix in (one, one.upper())]
    if any(path.with_name(name).exists() for name in after_stem):
        others = _others(path, world)
        yield from (name for name in after_stem if not (others if _is_shared(name) else others & {".tif", ".tiff"}))
    yield from (path.name + suffix for one in _AFTER_NAME for suffix in (one, one.upper()))


def _is_shared(name: str) -> bool:
    return name.lower().endswith(_AFTER_STEM)


def _others(path: Path, world: tuple[str, ...]) -> set[str]:
    """With what the names of other files go on that begin like the image's, apart from those that are the image's own."""
    own = {*_AFTER_STEM, *_OUR_OWN, *world}
    beside = (file.name for file in path.parent.iterdir() if file.name.startswith(f"{path.stem}."))
    return {name[len(path.stem) :].lower() for name in beside if not f"{name}.".startswith(f"{path.name}.")} - own
