"""What a data set will be grown from, and everything that would stop it, found out before the first image."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

from orthoforge.devices import chosen_devices
from orthoforge.errors import ConfigError, DataError, OutputExistsError
from orthoforge.files import no_such_file, readable, real_path
from orthoforge.geo.stamps import source_sha256
from orthoforge.growing.mask_streams import How, mask_files
from orthoforge.growing.reading import MaskReader
from orthoforge.growing.records import GrowSettings, Rule
from orthoforge.growing.staging import require_inside
from orthoforge.measures.segmenter.segmentation import SegmenterSettings
from orthoforge.runs import Run
from orthoforge.scenes.sources import Pair, find_pairs, folders
from orthoforge.tiles.store import TileStore
from orthoforge.trained_generator import TrainedGenerator

# Far more than anybody wants, and far less than what floats cannot count.
_HIGHEST_RATIO = 10**6


@dataclass(frozen=True)
class Plan:
    """Everything that is known before the first image."""

    generator: TrainedGenerator
    store: TileStore | None
    pairs: tuple[Pair, ...]
    reader: MaskReader
    layout: tuple[str, str]  # of images and of masks, from the data set's root
    settings: GrowSettings
    former: GrowSettings
    """The same settings, as earlier versions told them."""
    segmenter: SegmenterSettings
    device: str


def plan_of(
    run: str | Path,
    data: Path,
    out: Path,
    *,
    ratio: float,
    variants: int,
    masks: str | Path,
    split: Rule | None,
    least_agreement: float,
    seed: int,
    threshold: int | None,
    segmenter: SegmenterSettings,
    device: str,
) -> Plan:
    """Read what is there, and refuse what cannot work. Raises what ``grow`` does."""
    how = masks if masks in get_args(How) else None
    _require_sound(ratio, variants, split, least_agreement, seed)
    _require_apart(data, out, None if how else Path(masks))
    pairs = _pairs(data)
    require_inside(pairs, data)
    opened = Run.open(run)
    devices = chosen_devices(device)
    generator = opened.generator(devices[0])
    if variants > 1 and not generator.is_noisy:
        raise ConfigError(
            f"the network of {generator.recipe.name} has no noise: its {variants} variants of a mask would be one image. Leave "
            "--variants out, or make new masks with --masks transform."
        )
    if generator.classes and how not in ("real", None):
        raise ConfigError(
            f"--masks {how} forges masks of buildings; this run was trained on classes. Take --masks real or a folder."
        )
    store = opened.tiles()
    if store is None and opened.is_pretrained:
        _require_told(run, data, split, least_agreement)
    if store is None and least_agreement > 0 and split is not None:
        raise ConfigError(
            f"{run}: its tiles are not there any more, or were cut anew, and the segmenter that judges images learns from them. "
            "Put them back where its args.yaml says, or pass --least-agreement 0 to take every image unseen."
        )
    in_order = list(range(1, generator.bands + 1))
    if store is not None and list(store.settings.get("bands") or in_order) != in_order:
        raise ConfigError(
            f"{run}: was trained on bands {store.settings['bands']} of the scenes; its images, in that order, would not fit beside "
            "the real ones."
        )
    if threshold is None and store is not None:
        threshold = store.settings.get("threshold")
    image_folder, mask_folder = folders(data)
    layout = image_folder.relative_to(data).as_posix(), mask_folder.relative_to(data).as_posix()
    given = [] if how else mask_files(Path(masks))
    settings: GrowSettings = {
        "model_sha256": generator.sha256, "ratio": ratio, "variants": variants, "masks": str(masks), "split": split,
        "least_agreement": least_agreement, "seed": seed, "threshold": threshold, "layout": list(layout),
        "given": [[path.name, _sha256(path)] for path in given],
        "sources": {pair.name: [_sha256(pair.image), _sha256(pair.mask)] for pair in pairs},
        "tiles": store.fingerprint if store else None, "tiles_split": store.settings["split"] if store else None,
        "segmenter": asdict(segmenter) if least_agreement > 0 else None,
    }  # fmt: skip
    if generator.material_sha256:  # settings of data sets from before there was material stay as they are
        settings["material_sha256"] = generator.material_sha256
    reader = MaskReader(generator.classes, threshold)
    return Plan(generator, store, pairs, reader, layout, settings, _former(settings, pairs, given), segmenter, ",".join(devices))


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


def _require_told(run: str | Path, data: Path, split: Rule | None, least_agreement: float) -> None:
    """Of a pretrained generator nobody can put the tiles back."""
    if split is None:
        raise ConfigError(
            f"{run} came without its training tiles, so which scenes of {data} may train cannot be told. Pass --split digits or "
            "inria."
        )
    if least_agreement > 0:
        raise ConfigError(
            f"{run} came without its training tiles, and the segmenter that judges images learns from them. Pass "
            "--least-agreement 0 to take every image unseen."
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


def _require_apart(data: Path, out: Path, masks: Path | None) -> None:
    whole = real_path(out)
    for folder in [real_path(data)] + ([real_path(masks)] if masks else []):
        if whole == folder or folder in whole.parents:
            raise OutputExistsError(f"{out}: lies in {folder}, which is only read. Choose a folder beside it.")
        if whole in folder.parents:
            raise OutputExistsError(f"{out}: holds {folder}, which is only read. Choose a folder beside it.")


def _pairs(data: Path) -> tuple[Pair, ...]:
    found = find_pairs(data)
    if found.lonely:
        more = f" So it is with {len(found.lonely) - 1} more files." if len(found.lonely) > 1 else ""
        raise DataError(f"{found.lonely[0]}: has no partner of the same name.{more} Add what is missing, or move it away.")
    return found.pairs
