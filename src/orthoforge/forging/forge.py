"""Forge masks out of a data set's own: PLACE by PLACE, each with its manifest row, all with a card."""

import hashlib
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import numpy as np

from orthoforge.errors import ConfigError, OutputExistsError
from orthoforge.files import lock, new_file, require_place
from orthoforge.forging.card import PICTURED, Card, judge, write_cards
from orthoforge.forging.drawings import drawn_paths
from orthoforge.forging.measuring import measure
from orthoforge.forging.new_mask import How, new_mask
from orthoforge.forging.places import Place, RealMasks, pixel_of, places_of, real_at, real_masks
from orthoforge.forging.records import ForgedRow
from orthoforge.forging.shapes import take_apart
from orthoforge.geo.cog import write_geotiff
from orthoforge.geo.grid import Grid
from orthoforge.geo.pixel_sizes import SAY_IT, PixelSizes, overruled_note
from orthoforge.geo.rasters import read_tags
from orthoforge.geo.stamps import source_sha256
from orthoforge.masks.classes import BUILDING
from orthoforge.masks.layer_style import LayerStyle, load_style
from orthoforge.masks.palette import PALETTE, write_palette
from orthoforge.masks.reader import MaskReader, palette_of, reader_of
from orthoforge.progress import Progress
from orthoforge.scenes.outlines import Folder, folder_of_drawn_masks
from orthoforge.scenes.place_names import PlaceNames
from orthoforge.scenes.sources import number_of

_SMALLEST_MASK_PX = 16
# The rows of all masks are held in memory; at a hundred masks a second this many take three hours.
_MOST_MASKS = 10**6
_SETTINGS_TAG = "FORGED_SETTINGS"
# What `prepare` writes last. Its own constant lies where torch is imported, which masks on disk do without.
_STORE = "store.json"


@dataclass(frozen=True)
class Forged:
    """What ``forge`` made."""

    out: Path
    masks: tuple[Path, ...]
    rows: tuple[ForgedRow, ...]
    """A row a mask, as in ``forged.jsonl``."""
    cards: dict[str, Card]
    """By place; a place whose forged masks hold no building has none."""
    kept: int = 0
    """Masks that were there already, made with the same settings."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Places that no masks were forged for, and why."""


def forge(
    source: str | Path | Sequence[str | Path],
    out: Path | str,
    *,
    how: How = "recombine",
    count: int = 10,
    size: int | None = None,
    gsd: float | None = None,
    density: float = 1.0,
    place: str | None = None,
    seed: int = 0,
    threshold: int | None = None,
    palette: str | Path | None = None,
    building: Sequence[str] = (),
    pixel_size: PixelSizes | float | str | Path | None = None,
    places: str | Path | None = None,
    drawn: str | Path | Sequence[str | Path] | None = None,
    classes: bool = False,
    layer_style: str | Path | None = None,
    overwrite: bool = False,
) -> Forged:
    """Write ``count`` new masks for each place to ``out/masks``, with ``out/forged.jsonl``, ``out/card.json`` and
    ``out/card.html``.

    ``source`` is a data set in an accepted layout, a folder of masks, outlines of COCO or YOLO, or masks by path; all of its masks
    are drawn on. Of a folder that ``prepare`` made, the masks of its training tiles alone are, and stderr says so. ``how`` is one
    of these: ``recombine`` puts real footprints into new blocks; ``streets`` builds towns from the measurements of the place;
    ``transform`` changes real masks; ``drawn`` takes the masks of ``drawn`` (a folder or paths; all of them, for one place).
    ``palette`` and ``building`` say what is building in masks of classes, ``pixel_size`` how long the pixels of masks without
    coordinates are, ``places`` which place a mask is of, as in ``prepare``.

    ``size`` is the side in pixels and ``gsd`` a pixel in metres; those of the source scene when left out. ``density`` multiplies
    the building share of ``recombine`` and ``streets``. Masks are GeoTIFFs of 0 and 255. Each lies on the grid of the source scene
    whose density and streets it takes: the same resolution, CRS and origin. Its name begins with the place and ends with a number
    above all numbers of the source.

    With ``classes`` the masks of ``streets`` hold more than buildings: the streets, and lawns, trees and ponds where they could be,
    in the colours of ``layer_style`` (a YAML file; by default the one of the package, ``masks.layer_style``). ``out/palette.json``
    then says which colour is which class. Their buildings are those without it, to the pixel.

    The same arguments give the same bytes. A mask does not depend on how many there are. Call it again after an interruption: it
    goes on.

    Raises:
        ConfigError: impossible settings.
        DataError: sources that are empty, too few or of several resolutions, or a density that cannot be reached.
        OutputExistsError: ``out`` holds masks made with other settings.

    Examples:
        >>> from orthoforge import forge
        >>> made = forge("my-data", "newly-forged", how="transform", count=1)
        >>> [path.name for path in made.masks]
        ['austin_1001.tif', 'vienna_1001.tif']
    """
    _require_sound(how, count, size, gsd, density, seed, drawn)
    style = _style(how, classes, layer_style)
    out = Path(out)
    require_place(out, folder=True)
    with folder_of_drawn_masks() as outlines:
        found = _masks_of(source, outlines)
        if found.places:
            _require_untold(source, found, palette=palette, building=building, places=places, threshold=threshold)
            known, named = found.classes, building
        else:
            known, named = palette_of(palette, found.classes, building)
        sizes = PixelSizes.stated(pixel_size, *found.homes)
        names = PlaceNames.stated(places, *found.homes)
        reader = reader_of(None, threshold=threshold, palette=known, building=named, pixel_sizes=sizes)
        of_places, skipped = places_of(found.paths, place, reader, names, found.places)
        _note_overruled(of_places, sizes)
        if found.said:
            print(f"note: {found.said}", file=sys.stderr)
        drawings = drawn_paths(drawn) if drawn is not None else []
        if drawings and len(of_places) > 1:
            raise ConfigError(
                f"drawn masks are judged against one place; the source has {', '.join(p.name for p in of_places)}. Pass --place."
            )
        number = len(drawings) or count
        if gsd is not None and (unknown := next((one.name for one in of_places if one.unit == "px"), None)):
            raise ConfigError(
                f"the masks of {unknown} do not say how large their pixels are on the ground, because they have no CRS. {SAY_IT} "
                "Or leave --gsd out."
            )
        settings = _settings(how, size, gsd, density, seed, reader, names, found, drawings, style)
        rows: list[ForgedRow] = []
        paths: list[Path] = []
        cards: list[Card] = []
        pictures: dict[str, tuple[list[np.ndarray], list[np.ndarray]]] = {}
        kept = 0
        with lock(out / "forged.jsonl.forging"):
            for one in of_places:
                layouts, shown = [], []
                for index in Progress(one.name).over(range(number), "masks", number):
                    path = out / "masks" / f"{_name(one, index)}.tif"
                    row = None if overwrite else _finished(path, settings)
                    if row is None:
                        new = new_mask(one, index, how, size, gsd, density, seed, reader, drawings, style)
                        mask, grid = new.mask, new.grid
                        row = {"name": path.stem, "place": one.name, "how": how, "seed": seed, **new.made}
                        pixels = mask if style is None or new.labels is None else style.classes.rgb(new.labels)
                        write_geotiff(path, pixels, grid, tags=_tags(row, settings), overwrite=overwrite)
                    else:
                        kept += 1
                        mask, grid = _buildings(path, style)
                    rows.append(row)
                    paths.append(path)
                    layouts.append(take_apart(mask, pixel_of(grid)))
                    if index < PICTURED:
                        shown.append(mask)
                if any(layout.share for layout in layouts):
                    forged = measure(layouts, one.unit, window=one.real.window)
                    cards.append(judge(one.name, how, forged, real_at(one, gsd, reader), density=density))
                    pictures[one.name] = (_first_masks(one, reader), shown)
            if style is not None:
                write_palette(out / PALETTE, style.classes, overwrite=overwrite or bool(kept))
            with new_file(out / "forged.jsonl", overwrite=overwrite or bool(kept)) as partial:
                partial.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
            write_cards(out, cards, pictures, overwrite=overwrite or bool(kept))
        return Forged(out, tuple(paths), tuple(rows), {card.place: card for card in cards}, kept, skipped)


def _masks_of(source: str | Path | Sequence[str | Path], outlines: Folder) -> RealMasks:
    """The masks that ``source`` means: of prepared tiles those that train, else what ``real_masks`` finds."""
    if isinstance(source, (str, Path)) and (Path(source) / _STORE).is_file():
        from orthoforge.forging.training_tiles import training_masks

        return training_masks(Path(source), outlines())
    return real_masks(source, outlines)


def _note_overruled(places: Sequence[Place], sizes: PixelSizes) -> None:
    """Say on stderr which masks have another pixel size than the stated by what they say themselves."""
    own = {
        source.name: own_m
        for one in places
        for source in one.sources
        if (own_m := source.grid.gsd_m()) is not None and sizes.is_overruled(own_m, source.path)
    }
    if note := overruled_note(list(own), list(own.values())):
        print(f"note: {note}", file=sys.stderr)


def _require_sound(how: str, count: int, size: int | None, gsd: float | None, density: float, seed: int, drawn: object) -> None:
    if how not in get_args(How):
        raise ConfigError(f"how is {how!r}; there are {', '.join(get_args(How))}.")
    if not 1 <= count <= _MOST_MASKS:
        raise ConfigError(f"count is {count}; it must be 1 to {_MOST_MASKS}. Forge more with another seed, into another folder.")
    if size is not None and size < _SMALLEST_MASK_PX:
        raise ConfigError(f"size is {size} px; it must be at least {_SMALLEST_MASK_PX}.")
    if not (math.isfinite(density) and density > 0):
        raise ConfigError(f"density is {density:g}; it must be above 0. 1 is the place's own.")
    if gsd is not None and not (math.isfinite(gsd) and gsd > 0):
        raise ConfigError(f"gsd is {gsd:g}; it is the size of a pixel in metres, above 0.")
    if seed < 0:
        raise ConfigError(f"seed is {seed}; it must be 0 or more.")
    if density != 1 and how in ("transform", "drawn"):
        raise ConfigError(f"density goes with recombine and streets; {how} keeps the buildings that are there.")
    if (how == "drawn") != (drawn is not None):
        raise ConfigError("how 'drawn' and the masks that were drawn (--drawn) go together; one of them is missing.")
    if size is not None and how == "drawn":
        raise ConfigError("drawn masks keep their size; leave --size out.")
    if gsd is not None and how == "drawn":
        raise ConfigError("drawn masks keep their pixels; leave --gsd out.")


def _require_untold(source: object, found: RealMasks, **options: object) -> None:
    """Raise ``ConfigError`` for options that say again what prepared tiles say themselves."""
    if found.classes is not None:
        options.pop("building")
    if told := next((name for name, value in options.items() if value not in (None, (), [])), None):
        raise ConfigError(
            f"--{told} is for masks as they were drawn; the tiles of {source} say themselves what their masks hold and which place "
            "they are of. Leave it out."
        )


def _style(how: str, classes: bool, path: str | Path | None) -> LayerStyle | None:
    """The style of masks of classes; ``None`` for masks of buildings."""
    if not classes:
        if path is not None:
            raise ConfigError("--layer-style gives the classes of masks, and without --classes these are of buildings alone.")
        return None
    if how != "streets":
        raise ConfigError(f"--classes goes with --how streets, whose streets are known; {how} knows buildings alone.")
    style = load_style(None if path is None else Path(path))
    assert style.building is not None
    return style


def _buildings(path: Path, style: LayerStyle | None) -> tuple[np.ndarray, Grid]:
    """The buildings (H, W) of a mask that is there, 0 and 255, and its grid."""
    with MaskReader(style.classes if style else None).open(path) as there:
        labels = there.labels()
        return (labels if style is None else np.where(labels == style.building, np.uint8(BUILDING), np.uint8(0))), there.grid


def _name(place: Place, index: int) -> str:
    """PLACE and a number of at least four digits above all of the place's, by which ``place_of`` finds the place again."""
    highest = max((number_of(one.name) or 0 for one in place.sources), default=0)
    base = max(1000, 10 ** len(str(highest)))
    return f"{place.name}_{base + index + 1}"


def _settings(
    how: str,
    size: int | None,
    gsd: float | None,
    density: float,
    seed: int,
    reader: MaskReader,
    names: PlaceNames,
    found: RealMasks,
    drawn: Sequence[Path],
    style: LayerStyle | None,
) -> str:
    """Digest of everything that decides a mask, besides its place and index."""
    files = [[path.stem, source_sha256(path)] for path in [*found.paths, *drawn]]
    scale = [] if gsd is None else [gsd]
    # Masks from before there were pixel sizes and palettes keep their digest.
    said = [reader.pixel_sizes.plain] if reader.pixel_sizes.rules else []
    coded = [reader.coding.plain()] if reader.coding else []
    classes = [style.sha256] if style else []
    stated = [{"places": names.plain}] if names.rules else []
    of_tiles = [{"places_of_tiles": [found.places[path] for path in found.paths]}] if found.places else []
    told = [1, how, size, density, seed, reader.threshold, files, *scale, *said, *coded, *classes, *stated, *of_tiles]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _finished(path: Path, settings: str) -> ForgedRow | None:
    """The row of a mask that was made with these settings; ``None`` when there is none. ``OutputExistsError`` for another one."""
    if not path.exists():
        return None
    tags = read_tags(path)
    if tags.get(_SETTINGS_TAG) != settings:
        raise OutputExistsError(
            f"{path} exists and was made with other settings or from other masks. Pass --overwrite to replace it, or choose "
            "another folder."
        )
    row: ForgedRow = json.loads(tags["FORGED_ROW"])
    return row


def _tags(row: ForgedRow, settings: str) -> dict[str, str]:
    return {
        "SYNTHETIC_MASK": "YES", "FORGED_HOW": row["how"], "SEED": str(row["seed"]), "FORGED_SOURCES": ", ".join(row["sources"]),
        "FORGED_PARAMETERS": json.dumps(row["parameters"]), "FORGED_ROW": json.dumps(row), _SETTINGS_TAG: settings,
    }  # fmt: skip


def _first_masks(place: Place, reader: MaskReader) -> list[np.ndarray]:
    return [reader.labels(source.path) for source in place.sources[:PICTURED]]
