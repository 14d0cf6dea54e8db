"""What a data set will be grown from, and everything that would stop it, found out before the first image."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from orthoforge.devices import chosen_devices
from orthoforge.errors import ConfigError, DataError, OutputExistsError
from orthoforge.files import no_such_file, readable, real_path
from orthoforge.forging.places import rasters_in
from orthoforge.generation.library_masks import LIBRARY, library_size, means_library
from orthoforge.geo.pixel_sizes import PixelSizes
from orthoforge.geo.stamps import source_sha256
from orthoforge.growing.mask_streams import Forged, How, mask_files
from orthoforge.growing.naming import Places
from orthoforge.growing.records import GrowSettings, Rule
from orthoforge.growing.staging import require_inside
from orthoforge.masks.coding import Coding
from orthoforge.masks.reader import MaskReader, palette_of, reader_of
from orthoforge.measures.segmenter.segmentation import SegmenterSettings
from orthoforge.runs import Run
from orthoforge.scenes.layouts import NAME_OTHERS, Where
from orthoforge.scenes.outlines import Folder
from orthoforge.scenes.place_names import PlaceNames
from orthoforge.scenes.sources import Pair, Pairs, find_pairs
from orthoforge.tiles.store import TileStore
from orthoforge.trained_generator import TrainedGenerator

# Far more than anybody wants, and far less than what floats cannot count.
_HIGHEST_RATIO = 10**6
LEAST_AGREEMENT = 0.5
"""Images in which a segmenter recognises less than this share of what it recognises in real ones are rejected."""

OF_LIBRARY = (
    "masks, roofs and ground are those of the weights' material. In the colours of six labelled tiles such pairs brought 0.12 IoU "
    "beyond the best of these tiles alone, where each batch held as many real as synthetic crops. Beside twenty tiles or more "
    "measure it (orthoforge utility --other-places; docs/utility.md)."
)


@dataclass(frozen=True)
class Reading:
    """How mask files are to be read, as the options say it."""

    threshold: int | None = None
    palette: str | Path | None = None
    building: Sequence[str] = ()
    pixel_size: PixelSizes | float | str | Path | None = None


@dataclass(frozen=True)
class Plan:
    """Everything that is known before the first image."""

    generator: TrainedGenerator
    store: TileStore | None
    pairs: tuple[Pair, ...]
    reader: MaskReader
    places: Places  # of the new data set
    keeps_layout: bool  # real pairs keep their file names; else they get the scene's
    settings: GrowSettings
    former: GrowSettings
    """The same settings, as earlier versions told them."""
    segmenter: SegmenterSettings
    device: str
    notes: tuple[str, ...] = ()
    """What was decided here and is to be known of the data set."""


def plan_of(
    run: str | Path,
    data: Path | None,
    out: Path,
    *,
    ratio: float,
    variants: int,
    masks: str | Path | None,
    split: Rule | None,
    least_agreement: float | None,
    tiles: str | Path | None,
    material_from: str | Path | None,
    refinement: float | None,
    histograms_from: str | Path | None,
    sun: float | None,
    seed: int,
    reading: Reading,
    where: Where,
    drawn: Folder,
    segmenter: SegmenterSettings,
    device: str,
) -> Plan:
    """Read what is there, and refuse what cannot work. Raises what ``grow`` does."""
    own = None if masks is None or masks in get_args(How) else Path(masks)
    if masks == LIBRARY and not means_library(masks):
        own = Path(masks)  # a folder of that name
    _require_sound(ratio, variants, split, 0 if least_agreement is None else least_agreement, seed)
    folders = [folder for folder in (data, where.images, where.masks, own) if folder]
    _require_apart(folders, out)
    found = _pairs(data, where, drawn)
    ours = [drawn()] if found.classes else []
    require_inside(found.pairs, [real_path(folder) for folder in (*folders, *ours)])
    opened = Run.open(run)
    devices = chosen_devices(device)
    generator = opened.generator(devices[0])
    masks = masks or _default_masks(opened, generator, tiles=tiles, material_from=material_from)
    of_library = masks == LIBRARY and own is None
    if of_library:
        library_size(generator)  # refused here where there is none
    generator = generator.composing(
        material_from=material_from, refinement=refinement, sun=sun,
        histograms_from=tiles if of_library and histograms_from is None else histograms_from,
    )  # fmt: skip
    if variants > 1 and not generator.is_noisy:
        raise ConfigError(
            f"the network of {generator.recipe.name} has no noise: its {variants} variants of a mask would be one image. Leave "
            "--variants out, or make new masks with --masks transform."
        )
    if generator.classes and masks in get_args(Forged):
        raise ConfigError(
            f"--masks {masks} forges masks of buildings; this run was trained on classes. Take --masks real or a folder."
        )
    store = opened.tiles() if tiles is None else _tiles(Path(tiles), opened, generator, run)
    said: Mapping[str, Any] = store.settings if store else {}
    if not found.places.rules:
        found = found.with_places(PlaceNames.of_plain(said.get("places")))
    if store is None and opened.is_pretrained:
        _require_told(run, data or found.layout[0].images, split, least_agreement or 0)
    notes = []
    if store is None and opened.is_pretrained and least_agreement is None:
        least_agreement = 0
        notes.append(
            f"no segmenter looked at the images, because {run} came without training tiles. --tiles TILES gives it some to learn "
            "from."
        )
    if of_library:
        notes += [OF_LIBRARY] * (material_from is None)
        least_agreement = least_agreement or 0.0  # a segmenter of few tiles knows little of other places
    if least_agreement is None:
        least_agreement = LEAST_AGREEMENT
    if store is None and least_agreement > 0 and split is not None:
        raise ConfigError(
            f"{run}: its tiles are not there any more, or were cut anew, and the segmenter that judges images learns from them. "
            "Put them back where its args.yaml says, or pass --least-agreement 0 to take every image unseen."
        )
    pairs = found.pairs
    in_order = list(range(1, generator.bands + 1))
    if store is not None and list(store.settings.get("bands") or in_order) != in_order:
        raise ConfigError(
            f"{run}: was trained on bands {store.settings['bands']} of the scenes; its images, in that order, would not fit beside "
            "the real ones."
        )
    reader = _reader(reading, generator, found, data, store)
    places = None if reader.coding or found.classes else _places(found, data)
    given = mask_files(own) if own else []
    told = f"./{own}" if masks == LIBRARY and own else str(masks)  # the word stands for the library
    settings: GrowSettings = {
        "model_sha256": generator.sha256, "ratio": ratio, "variants": variants, "masks": told, "split": split,
        "least_agreement": least_agreement, "seed": seed, "threshold": reader.threshold, "layout": (places or Places()).plain,
        "given": [[path.name, _sha256(path)] for path in given],
        "sources": {pair.name: [_sha256(pair.image), _sha256(pair.mask)] for pair in pairs},
        "tiles": store.fingerprint if store else None, "tiles_split": store.settings["split"] if store else None,
        "segmenter": asdict(segmenter) if least_agreement > 0 else None,
    }  # fmt: skip
    if generator.material_sha256:  # settings of data sets from before there was material stay as they are
        settings["material_sha256"] = generator.material_sha256
    if generator.refinement < 1:
        settings["refinement"] = generator.refinement
    if generator.looks:
        settings["histograms"] = generator.looks.identity
    if generator.sun is not None:
        settings["sun"] = generator.sun
    if reader.pixel_sizes.rules:
        settings["pixel_sizes"] = reader.pixel_sizes.plain
    if found.places.rules:
        settings["places"] = found.places.plain
    if reader.coding:
        settings["coding"] = reader.coding.plain()
    former = _former(settings, pairs, given)
    return Plan(
        generator,
        store,
        pairs,
        reader,
        places or Places(),
        places is not None,
        settings,
        former,
        segmenter,
        ",".join(devices),
        tuple(notes),
    )


def _default_masks(opened: Run, generator: TrainedGenerator, *, tiles: str | Path | None, material_from: str | Path | None) -> How:
    """What brought most: pairs of the weights' own places in the histograms of a few tiles (docs/utility.md). It was measured for
    buildings alone."""
    knows_others = opened.is_pretrained and generator.library is not None and generator.classes is None
    return "library" if knows_others and tiles is not None and material_from is None else "real"


def _reader(reading: Reading, generator: TrainedGenerator, found: Pairs, data: Path | None, store: TileStore | None) -> MaskReader:
    """What reads the masks as the run knows them. What is not said is taken from the run's tiles."""
    said: Mapping[str, Any] = store.settings if store else {}
    sizes = PixelSizes.stated(reading.pixel_size, *found.homes(data))
    if not sizes.rules:
        sizes = PixelSizes.of_plain(said.get("pixel_sizes"))
    known, building = palette_of(reading.palette, found.classes, reading.building)
    threshold = reading.threshold
    if threshold is None and known is None and not building:
        threshold = said.get("threshold")
        if generator.classes is None and (coding := Coding.of_plain(said.get("coding"))):
            return MaskReader(None, None, sizes, coding)
    return reader_of(generator.classes, threshold=threshold, palette=known, building=building, pixel_sizes=sizes)


def _places(found: Pairs, data: Path | None) -> Places | None:
    """The layout of ``data``, for the new data set; ``None`` where its parts lie in several places, or elsewhere."""
    layout, *others = found.layout
    if data is None or others or not all(folder.is_relative_to(data) for folder in (layout.images, layout.masks)):
        return None
    images, masks = (folder.relative_to(data).as_posix() for folder in (layout.images, layout.masks))
    return Places(images, masks, layout.image_suffix, layout.mask_suffix)


def _former(settings: GrowSettings, pairs: Sequence[Pair], given: Sequence[Path]) -> GrowSettings:
    """Settings as earlier versions told them: what the sources are by size and time, in place of checksums."""
    former: GrowSettings = {**settings}
    former["given"] = [[path.name, *_size_and_time(path)] for path in given]
    former["sources"] = {pair.name: [_size_and_time(pair.image), _size_and_time(pair.mask)] for pair in pairs}
    return former


def _sha256(path: Path) -> str:
    with readable(path):
        if not path.is_file():
            raise DataError(no_such_file(path))
        return source_sha256(path)


def _size_and_time(path: Path) -> list[int]:
    return [path.stat().st_size, path.stat().st_mtime_ns]


def _tiles(path: Path, opened: Run, generator: TrainedGenerator, run: str | Path) -> TileStore:
    """The tiles that ``--tiles`` names: those of the run, or of weights that came without any, tiles that fit them."""
    store = TileStore.open(path)
    if not opened.is_pretrained and store.fingerprint != opened.state.tiles.fingerprint:
        raise ConfigError(f"{path}: these are not the tiles that {run} was trained on. Name those, or leave --tiles out.")
    if store.bands != generator.bands or store.classes != generator.classes:
        ours, theirs = (
            f"{bands} bands and masks of {', '.join(classes.names) if classes else 'buildings'}"
            for bands, classes in ((store.bands, store.classes), (generator.bands, generator.classes))
        )
        raise ConfigError(f"{path}: its tiles have {ours}; {run} knows {theirs}. Prepare tiles of that kind.")
    return store


def _require_told(run: str | Path, data: Path, split: Rule | None, least_agreement: float) -> None:
    """Of a pretrained generator nobody can put the tiles back."""
    if split is None:
        raise ConfigError(
            f"{run} came without its training tiles, so which scenes of {data} may train is not known. Pass --tiles TILES, a "
            f"folder that orthoforge prepare cut from {data}. Or choose by the numbers in the names of scenes, with --split "
            "digits or inria."
        )
    if least_agreement > 0:
        raise ConfigError(
            f"{run} came without its training tiles, and the segmenter that judges images learns from tiles. Pass --tiles TILES, a "
            f"folder that orthoforge prepare cut from {data}. Or leave --least-agreement out, which takes every image unseen."
        )


def _require_sound(ratio: float, variants: int, split: object, least_agreement: float, seed: int) -> None:
    if not 0 < ratio <= _HIGHEST_RATIO:
        raise ConfigError(
            f"ratio is {ratio:g}; it is the number of synthetic pairs for each real one that trains, above 0 and up to "
            f"{_HIGHEST_RATIO}."
        )
    if variants < 1:
        raise ConfigError(f"variants is {variants}; it is the number of images a mask, 1 or more.")
    if split is not None and split not in get_args(Rule):
        raise ConfigError(f"split is {split!r}; the rules that go by a scene's number are {' and '.join(get_args(Rule))}.")
    if not 0 <= least_agreement <= 1:
        raise ConfigError(f"least_agreement is {least_agreement:g}; it is a share of the score on real images, 0 (no filter) to 1.")
    if seed < 0:
        raise ConfigError(f"seed is {seed}; it must be 0 or more.")


def _require_apart(folders: Sequence[Path], out: Path) -> None:
    whole = real_path(out)
    for folder in map(real_path, folders):
        if whole == folder or folder in whole.parents:
            raise OutputExistsError(f"{out}: lies in {folder}, which is only read. Choose a folder beside it.")
        if whole in folder.parents:
            raise OutputExistsError(f"{out}: holds {folder}, which is only read. Choose a folder beside it.")


def _pairs(data: Path | None, where: Where, drawn: Folder) -> Pairs:
    try:
        found = find_pairs(data, where, drawn=drawn)
    except DataError as error:
        if data is not None and where.images is None and rasters_in(data):
            raise DataError(
                f"{data}: holds no pairs of images and masks, and grow adds synthetic pairs to real ones. Pairs of masks alone are "
                f"made by orthoforge generate RUN {data} --out PAIRS --keep-mask."
            ) from error
        raise DataError(str(error).replace(NAME_OTHERS, "Name others with --images and --real-masks.")) from error
    if found.lonely:
        more = f" So it is with {len(found.lonely) - 1} more files." if len(found.lonely) > 1 else ""
        raise DataError(f"{found.lonely[0]}: has no partner of the same name.{more} Add what is missing, or move it away.")
    return found
