"""A ``CheckReport`` as a table for the terminal, 80 columns wide or more."""

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath

import numpy as np
from rich import box
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from orthoforge.scenes.alignment import MIN_SHIFT_PX, Shift
from orthoforge.scenes.checks import CheckReport
from orthoforge.scenes.scene_check import Finding, SceneCheck
from orthoforge.scenes.sources import natural_key

# Findings that differ in names and numbers alone are said together when there are so many; so many of their scenes are named.
_ALIKE, _NAMED = 4, 5
# Characters of a name in a line, at least.
_LEAST_NAME = 8
# Of the columns that both tables have. A '>' sets a column to the right.
_HEADS = ("size\nin px", "CRS", ">metres\na pixel", ">building\nin %", ">mask\noff by", ">faults", ">warn-\nings")
_STYLES = {"fault": "bold red", "warning": "yellow"}


def format_report(report: CheckReport, *, all_scenes: bool = False) -> RenderableType:
    """Scenes summed up by place (or one by one), what was found with the faults first, like findings together, and the counts."""
    findings = _merged(report, all_names=all_scenes)
    parts: list[RenderableType] = [Text(f"layout: {report.layout}")] if report.layout else []
    table = _scene_table(report) if all_scenes else _place_table(report)
    parts += [table, *_legend(table)]
    if findings:
        parts += [_finding_list(findings, str(report.data).rstrip("/") + "/"), Text()]
    parts.append(_verdict(report))
    return Group(*parts)


def _place_table(report: CheckReport) -> Table:
    rows = []
    by_place = sorted(report.scenes, key=lambda scene: natural_key(scene.place))
    for place, group in itertools.groupby(by_place, key=lambda scene: scene.place):
        scenes = list(group)
        shares = [100 * scene.building_share for scene in scenes if scene.building_share is not None]
        rows.append([
            Text(place),
            Text(str(len(scenes))),
            Text(_various([f"{scene.size[0]}×{scene.size[1]}" for scene in scenes if scene.size])),
            Text(_various([scene.crs for scene in scenes if scene.crs])),
            Text(_span([scene.gsd_m for scene in scenes if scene.gsd_m is not None], 2)),
            Text(f"{np.mean(shares):.0f} ({_span(shares, 0)})" if len(shares) > 1 else _span(shares, 0)),
            _shift_text(report.place_shifts.get(place) or (scenes[0].shift if len(scenes) == 1 else None)),
            *_counts(scenes),
        ])  # fmt: skip
    return _table(["place", ">scenes", *_HEADS], rows)


def _scene_table(report: CheckReport) -> Table:
    rows = [
        [
            Text(scene.name),
            Text(f"{scene.size[0]}×{scene.size[1]}" if scene.size else "–"),
            Text(scene.bands or "–"),
            Text(scene.crs or "–"),
            Text(_span([scene.gsd_m] if scene.gsd_m is not None else [], 2)),
            Text(_span([100 * scene.building_share] if scene.building_share is not None else [], 1)),
            _shift_text(scene.shift),
            *_counts([scene]),
        ]
        for scene in report.scenes
    ]
    return _table(["scene", _HEADS[0], "bands", *_HEADS[1:]], rows)


def _table(headings: Sequence[str], rows: Sequence[Sequence[Text]]) -> Table:
    """A table whose first column, the name, takes several lines where the terminal is narrow; no other is cut.

    A '>' before a heading sets its column to the right.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0)
    for index, heading in enumerate(headings):
        label = heading.lstrip(">")
        width = max(*map(cell_len, label.split("\n")), 0, *(row[index].cell_len for row in rows)) if rows else None
        if index == 0:
            table.add_column(label, overflow="fold", min_width=min(width or 0, _LEAST_NAME))
        else:
            table.add_column(label, justify="left" if label == heading else "right", no_wrap=True, min_width=width)
    for row in rows:
        table.add_row(*row)
    return table


def _legend(table: Table) -> list[RenderableType]:
    """What the signs mean that are in the cells of a table."""
    cells = [str(cell) for column in table.columns for cell in column.cells]
    meanings = {
        "+N: the commonest; the place has N more values": any(" +" in cell for cell in cells),
        "building: the mean, in brackets the lowest and the highest": any("(" in cell for cell in cells),
        "?: the mask was not recognised in the image": "?" in cells,
    }
    told = [meaning for meaning, is_used in meanings.items() if is_used]
    return [Text("\n".join(told), "dim"), Text()] if told else []


def _finding_list(findings: Sequence[Finding], prefix: str) -> Table:
    """Faults, then warnings, without the path that all of them share."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column()
    for finding in sorted(findings, key=lambda finding: list(_STYLES).index(finding.severity)):
        grid.add_row(Text(finding.severity, _STYLES[finding.severity]), Text(finding.message.replace(prefix, "")))
    return grid


def _merged(report: CheckReport, *, all_names: bool) -> list[Finding]:
    """Every finding once; of those that say the same, or the same but for names and numbers, the first in full."""
    alike: dict[tuple[str, str], list[tuple[SceneCheck | None, Finding]]] = {}
    everything: list[tuple[SceneCheck | None, Finding]] = [(None, finding) for finding in report.findings]
    everything += [(scene, finding) for scene in report.scenes for finding in scene.findings]
    for scene, finding in everything:
        kind = _kind(finding.message, scene.name if scene else "")
        alike.setdefault((finding.severity, kind), []).append((scene, finding))
    merged = []
    for found in alike.values():
        texts = {_text(scene, finding) for scene, finding in found}
        if len(found) == 1 or (len(texts) > 1 and len(found) < _ALIKE):
            merged += [finding for _, finding in found]
        else:
            merged.append(_together(found, len(texts) == 1, None if all_names else _NAMED))
    return merged


def _together(found: Sequence[tuple[SceneCheck | None, Finding]], is_same: bool, most: int | None) -> Finding:
    """One finding for several that are alike; it names ``most`` of their scenes."""
    first = found[0][1]
    names = list(dict.fromkeys(scene.name if scene else _head(finding) for scene, finding in found))
    shown = ", ".join(names[:most]) + (", …" if most is not None and len(names) > most else "")
    places = {scene.place for scene, _ in found if scene}
    where = f" of {places.pop()}" if len(places) == 1 else ""
    what = "scenes" if found[0][0] else "files"
    text = _text(*found[0]) if is_same else f"alike, such as: {first.message}"
    return Finding(first.severity, f"{len(names)} {what}{where} ({shown}): {text}")


def _text(scene: SceneCheck | None, finding: Finding) -> str:
    """What is said, without the scene that it is said of; messages that begin with a path stay as they are."""
    return finding.message.removeprefix(f"{scene.name}: ") if scene else finding.message


def _head(finding: Finding) -> str:
    """The file that a message begins with."""
    return PurePath(finding.message.partition(": ")[0]).name


def _kind(message: str, name: str) -> str:
    """The message without the path or name that it begins with, and without names and numbers further on."""
    head, colon, rest = message.partition(": ")
    said = rest if colon and (head == name or "/" in head or "\\" in head) else message
    return re.sub(r"\d+(\.\d+)?", "#", said.replace(name, "NAME") if name else said)


def _verdict(report: CheckReport) -> Text:
    sound = sum(not scene.findings for scene in report.scenes)
    text = Text(f"{_plural(len(report.scenes), 'scene')}, {sound} without findings of their own; ")
    text.append(_plural(report.faults, "fault"), _STYLES["fault"] if report.faults else "green").append(", ")
    text.append(_plural(report.warnings, "warning"), _STYLES["warning"] if report.warnings else "green")
    return text.append(f" in {report.data}")


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"


def _counts(scenes: Sequence[SceneCheck]) -> list[Text]:
    """Faults and warnings of some scenes, for the last two columns."""
    severities: Counter[str] = Counter(finding.severity for scene in scenes for finding in scene.findings)
    return [Text(str(severities[kind]), style) if severities[kind] else Text("·", "dim") for kind, style in _STYLES.items()]


def _various(values: Sequence[str]) -> str:
    """The commonest value, of several the first by name, and how many others there are."""
    counts = Counter(sorted(values, key=natural_key))
    if not counts:
        return "–"
    ((commonest, _),) = counts.most_common(1)
    return commonest if len(counts) == 1 else f"{commonest} +{len(counts) - 1}"


def _span(values: Sequence[float], digits: int) -> str:
    """'0.30', or '0.13-0.15' when they differ as printed."""
    if not values:
        return "–"
    low, high = f"{min(values):.{digits}f}", f"{max(values):.{digits}f}"
    return low if low == high else f"{low}-{high}"


def _shift_text(shift: Shift | None) -> Text:
    """The estimate; '?' where the mask was not recognised in the image, or seems far off but not surely."""
    if shift is None:
        return Text("–", "dim")
    if shift.is_sure:
        return Text(f"{shift.distance_px:.0f} px", _STYLES["warning"])
    return Text(f"{shift.distance_px:.0f} px" if shift.is_seen and shift.distance_px < MIN_SHIFT_PX else "?", "dim")
