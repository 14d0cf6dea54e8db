"""The pairs of a folder that ``generate --keep-mask`` made."""

from pathlib import Path

from orthoforge.datasets.written import WrittenPair, WrittenPairs, classes_of
from orthoforge.errors import DataError
from orthoforge.geo.rasters import read_tags
from orthoforge.scenes.sources import Pair, Pairs, find_pairs


def open_generated(folder: str | Path, palette: str | Path | None, threshold: int | None) -> WrittenPairs:
    """The synthetic pairs in a folder, in natural order of their names.

    ``DataError`` for a folder without ``images/`` and ``masks/``, for one in which an image or a mask lacks its partner, and for
    one without a synthetic image.
    """
    folder = Path(folder)
    if (folder / "grown.json").is_file():
        raise DataError(f"{folder}: was made by orthoforge grow. Read it with SyntheticPairs.grown.")
    try:
        found = find_pairs(folder)
    except DataError as error:
        raise DataError(
            f"{folder}: holds no pairs that orthoforge generate --keep-mask wrote, which are in images/ and masks/ ({error})"
        ) from error
    if found.lonely:
        raise DataError(
            f"{found.lonely[0]}: has no partner of the same name. Run the same orthoforge generate --keep-mask again, which makes "
            "what is missing, or move the file away."
        )
    made = [(pair, tags) for pair in found.pairs if (tags := read_tags(pair.image)).get("SYNTHETIC") == "YES"]
    if not made:
        raise DataError(f"{folder}: none of its images is synthetic by its tag SYNTHETIC. Real pairs are read by RealPairs.")
    return WrittenPairs(tuple(_written(pair, tags, found) for pair, tags in made), classes_of(folder, palette), threshold)


def _written(pair: Pair, tags: dict[str, str], found: Pairs) -> WrittenPair:
    # STEM_v2 is an image of the mask STEM, and only that name says the place.
    mask = Path(tags.get("MASK", pair.image.name))
    place = pair.stated_place or found.places.key(mask)
    seed = tags.get("SEED", "")
    return WrittenPair(pair.image, pair.mask, pair.name, place, int(seed) if seed.isdecimal() else -1, tags.get("STYLE", ""))
