"""Everything that can be wrong with a data set's scenes, found before hours of work are built on them.

Every scene is read to its last pixel, and one bad scene never hides another: findings are collected, not raised.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from orthoforge.bands import require_band_numbers
from orthoforge.errors import ConfigError
from orthoforge.geo import pixel_sizes
from orthoforge.geo.pixel_sizes import SAY_IT, PixelSizes, overruled_note
from orthoforge.geo.rasters import require_threshold
from orthoforge.masks.reader import MaskReader, own_reader, palette_of
from orthoforge.progress import Progress
from orthoforge.scenes import place_names
from orthoforge.scenes.alignment import Shift, common_shift
from orthoforge.scenes.layouts import Where
from orthoforge.scenes.outlines import folder_of_drawn_masks
from orthoforge.scenes.scene_check import Finding, SceneCheck, Severity, check_scene
from orthoforge.scenes.sources import Pairs, lonely_message, survey, twins_message

# A place's common shift is the evidence of all its scenes: fewer than this many are no more than themselves.
_SCENES_FOR_A_PLACE = 4
# A scene is reported beside its place's common shift only when it lies further than this from it.
_SAME_SHIFT_PX = 2.0
# So many scenes without coordinates may well be of several places.
_MANY_OF_A_PLACE = 12


@dataclass(frozen=True)
class CheckReport:
    """All scenes, and the findings that concern a place or the whole data set."""

    data: Path
    scenes: tuple[SceneCheck, ...]
    place_shifts: dict[str, Shift] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    layout: str = ""
    """Which layout was recognised, in words."""

    @property
    def faults(self) -> int:
        """Number of faults; the data set is usable at 0."""
        return self._count("fault")

    @property
    def warnings(self) -> int:
        """Number of warnings."""
        return self._count("warning")

    def _count(self, severity: Severity) -> int:
        everything = [*self.findings, *(finding for scene in self.scenes for finding in scene.findings)]
        return sum(finding.severity == severity for finding in everything)


def check(
    data: str | Path | None = None,
    *,
    threshold: int | None = None,
    palette: str | Path | None = None,
    building: Sequence[str] = (),
    bands: Sequence[int] | None = None,
    pixel_size: PixelSizes | float | str | Path | None = None,
    images: str | Path | None = None,
    masks: str | Path | None = None,
    image_suffix: str | None = None,
    mask_suffix: str | None = None,
    places: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> CheckReport:
    """Read every scene below ``data`` and report what is wrong with it.

    Nothing is changed. All other arguments say how masks and images are read and where they lie, as in ``prepare``. ``progress``
    is called with the number of scenes done and the number of all scenes. The report counts ``faults``, which would break a
    training, and ``warnings``, which are worth a look.

    Raises:
        DataError: there are no pairs to check, or the palette cannot be used.

    Examples:
        >>> from orthoforge import check
        >>> report = check("my-data")
        >>> report.faults, len(report.scenes)
        (0, 12)
    """
    if threshold is not None and palette is not None:
        raise ConfigError("--threshold and --palette exclude each other: a mask holds either levels or classes.")
    require_threshold(threshold)
    require_band_numbers(bands)
    folder = None if data is None else Path(data)
    with folder_of_drawn_masks() as drawn:
        found = survey(folder, Where.said(images, masks, image_suffix, mask_suffix, places), drawn=drawn)
        sizes = PixelSizes.stated(pixel_size, *found.homes(folder))
        known, named = palette_of(palette, found.classes, building)
        reader = own_reader(known, threshold=threshold, building=named, pixel_sizes=sizes)
        return _check(folder, found, reader, bands, progress, palette)


def _check(
    data: Path | None,
    found: Pairs,
    reader: MaskReader,
    bands: Sequence[int] | None,
    progress: Callable[[int, int], None] | None,
    palette: str | Path | None,
) -> CheckReport:
    findings = [Finding("fault", twins_message(files)) for files in found.twins]
    findings += [Finding("fault", lonely_message(path, found)) for path in found.lonely]
    if reader.classes and reader.classes.building is None:
        told = palette or "annotations"
        findings.append(Finding("warning", f"{told}: no class is named 'building', so shares and shifts are not estimated."))
    for table, stated in ((pixel_sizes.TABLE, reader.pixel_sizes), (place_names.TABLE, found.places)):
        unused = stated.unused([pair.image for pair in found.pairs])
        findings += [Finding("warning", f"{table}: {pattern!r} fits the name of no image.") for pattern in unused]

    scenes, totals = [], defaultdict(list)
    pool = ThreadPoolExecutor(min(4, os.cpu_count() or 1))  # GDAL and numpy release the GIL; a thread holds one strip of a scene
    try:
        checked = pool.map(lambda pair: check_scene(pair, reader, bands), found.pairs)
        for scene, votes in Progress("checking").over(checked, "scenes", len(found.pairs)):
            scenes.append(scene)
            if votes is not None:
                totals[scene.place].append(votes)
            if progress:
                progress(len(scenes), len(found.pairs))
    finally:
        pool.shutdown(cancel_futures=True)

    place_shifts = {
        place: shift
        for place, votes in totals.items()
        if len(votes) >= _SCENES_FOR_A_PLACE and (shift := common_shift(votes)) is not None
    }
    findings += [
        Finding(
            "warning",
            f"{place}: its masks lie {shift.distance_px:.0f} px off their images ({shift}), the same in {shift.votes} scenes. "
            "Compare some of them by eye and move all masks back.",
        )
        for place, shift in place_shifts.items()
        if shift.is_sure
    ]
    findings += _crs_findings(scenes)
    own = [scene for scene in scenes if scene.keeps_own_gsd]
    if note := overruled_note([scene.name for scene in own], [scene.gsd_m for scene in own if scene.gsd_m]):
        findings.append(Finding("warning", note))
    scenes = [_with_shift_finding(scene, place_shifts.get(scene.place)) for scene in scenes]
    return CheckReport(data or found.layout[0].images, tuple(scenes), place_shifts, tuple(findings), found.layout[0].name)


def _with_shift_finding(scene: SceneCheck, common: Shift | None) -> SceneCheck:
    """The scene with a warning for its own shift, unless that is its place's."""
    shift = scene.shift
    if shift is None or not shift.is_sure:
        return scene
    if common and common.is_sure and np.hypot(shift.down - common.down, shift.right - common.right) <= _SAME_SHIFT_PX:
        return scene
    message = f"{scene.name}: the mask seems to lie {shift.distance_px:.0f} px off the image ({shift}). "
    message += "Compare them by eye: long shadows can look like it."
    return replace(scene, findings=(*scene.findings, Finding("warning", message)))


def _crs_findings(scenes: Sequence[SceneCheck]) -> list[Finding]:
    """One line for all scenes without a CRS, and one for all in degrees."""
    opened = [scene for scene in scenes if scene.crs]
    lacking = [scene for scene in opened if scene.crs == "no CRS"]
    degrees = [scene for scene in opened if scene.in_degrees]
    findings = []
    if lacking:
        who = "no scene has a CRS" if len(lacking) == len(opened) else f"no CRS in {_named(lacking, opened)}"
        unknown = (
            ""
            if all(scene.gsd_m for scene in lacking)
            else f" They do not say how large their pixels are on the ground, which prepare --gsd needs. {SAY_IT}"
        )
        findings.append(Finding("warning", f"{who}, so images made for them will have none either.{unknown}{_one_place(lacking)}"))
    if degrees:
        findings.append(
            Finding(
                "warning",
                f"CRS in degrees, not metres, in {_named(degrees, opened)}. Tiles by --grid are fine; the GSD is taken at each "
                "scene's centre.",
            )
        )
    return findings


def _one_place(scenes: Sequence[SceneCheck]) -> str:
    """What to say where many scenes that lie nowhere are one place by their names alone."""
    places = {scene.place for scene in scenes if scene.stated_place is None}
    if len(scenes) < _MANY_OF_A_PLACE or len(places) != 1:
        return ""
    return f" By their names all are of one place, {places.pop()}. If they are of several, say so in a table {place_names.TABLE}."


def _named(some: Sequence[SceneCheck], everyone: Sequence[SceneCheck]) -> str:
    """'all 21 scenes of inria_austin, 2 of 40 scenes of vienna (vienna3, vienna7)'."""
    if len(some) == len(everyone):
        return f"all {len(some)} scenes"
    sizes = Counter(scene.place for scene in everyone)
    places: dict[str, list[str]] = defaultdict(list)
    for scene in some:
        places[scene.place].append(scene.name)
    parts = []
    for place, names in places.items():
        if len(names) == sizes[place]:
            parts.append(f"all {len(names)} scenes of {place}" if len(names) > 1 else names[0])
        else:
            shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
            parts.append(f"{len(names)} of {sizes[place]} scenes of {place} ({shown})")
    return ", ".join(parts)
