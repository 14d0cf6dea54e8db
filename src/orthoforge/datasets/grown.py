"""The synthetic pairs of a data set that ``grow`` made."""

import json
from pathlib import Path

from orthoforge.datasets.written import WrittenPair, WrittenPairs, classes_of
from orthoforge.errors import DataError
from orthoforge.files import is_file_name


def open_grown(folder: str | Path, palette: str | Path | None) -> WrittenPairs:
    """The synthetic pairs in a folder. ``DataError`` where ``grow`` has not finished one, or made no pair."""
    folder = Path(folder)
    try:
        settings = json.loads((folder / "grown.json").read_bytes())["settings"]
        lines = (folder / "synthetic.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [row for row in map(json.loads, lines) if row["accepted"]]
        *parts, image_ends, mask_ends = [*settings["layout"], "", ""][:4]
        names = [row["name"] + end for row in rows for end in (image_ends, mask_ends)]
        if any(Path(part).is_absolute() or ".." in Path(part).parts for part in parts) or not all(map(is_file_name, names)):
            raise ValueError("a name that leads elsewhere")
        images, masks = (folder / part for part in parts)
        pairs = tuple(
            WrittenPair(
                images / f"{row['name']}{image_ends}.tif", masks / f"{row['name']}{mask_ends}.tif", row["name"], row["place"],
                row["seed"], row["style"] or "",
            )
            for row in rows
        )  # fmt: skip
        threshold = settings["threshold"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(
            f"{folder}: no data set that orthoforge grow finished (no grown.json, or a damaged one). Pairs that orthoforge "
            "generate --keep-mask wrote are read by SyntheticPairs.generated."
        ) from error
    if not pairs:
        raise DataError(f"{folder}: has no synthetic pair; all were rejected.")
    return WrittenPairs(pairs, classes_of(folder, palette), threshold)
