"""The folder that a data set grows in, until it is whole: hidden in OUT, so that nobody trains on half a data set.

It holds the settings, a log with a row a finished candidate, and the data set as it will be. When that is complete, its parts are
renamed into OUT one by one, and a last file says that they are all there. Killed at any point, the next call goes on.
"""

import contextlib
import errno
import glob
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orthoforge.errors import DataError, OutputExistsError
from orthoforge.files import is_file_name, new_file, real_path, remove, sync_open, writable
from orthoforge.geo.cog import write_raster
from orthoforge.growing.records import CandidateRow, Done, GrowSettings, Summary
from orthoforge.masks.reader import MaskReader
from orthoforge.scenes.sources import Pair

DONE = "grown.json"
_WORK = ".growing"
_SETTINGS, _LOG, _READY = "settings.json", "log.jsonl", "ready.json"
# What os.link says where a file system, or its owner, does not want links between two names.
_NO_LINK = {errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}


class Staging:
    """The work folder of OUT. ``data`` is where the data set is put together, ``log`` the rows of finished candidates by name."""

    def __init__(self, out: Path, settings: GrowSettings, former: GrowSettings | None = None) -> None:
        self.out, self.work, self.settings = out, out / _WORK, settings
        self._former = former  # the same, as an earlier version told them
        self.data = self.work / "data"
        self.log: dict[str, CandidateRow] = {}

    def begin(self, *, overwrite: bool) -> bool:
        """Make the folder, or go on in it; true when the data set is finished already.

        Raises ``OutputExistsError`` for an OUT that holds anything else: other settings without ``overwrite``, or another's files.
        """
        done, begun = _read(self.out / DONE), _read(self.work / _SETTINGS)
        if done is None and begun is None and self.out.is_dir() and any(self.out.iterdir()):
            raise OutputExistsError(f"{self.out}: exists and was not made by grow. Choose another folder.")
        told = (done or {}).get("settings") or begun
        if told not in (None, self.settings, self._former):
            if not overwrite and (done is not None or (self.work / _LOG).is_file()):
                raise OutputExistsError(
                    f"{self.out}: holds a data set grown with other settings, or from other data. Pass --overwrite to replace it, "
                    "or choose another folder."
                )
            self._clear(done)
            done = None
        with writable(self.out.parent):
            if done is not None:
                shutil.rmtree(self.work, ignore_errors=True)
                return True
            self.data.mkdir(parents=True, exist_ok=True)
        with new_file(self.work / _SETTINGS, overwrite=True) as partial:
            partial.write_text(json.dumps(self.settings, indent=1), encoding="utf-8")
        self.log = _read_log(self.work / _LOG)
        return False

    def give_up(self) -> None:
        """Leave nothing behind when it ended before the first candidate was finished."""
        if not self.log:
            shutil.rmtree(self.work, ignore_errors=True)
            with contextlib.suppress(OSError):
                self.out.rmdir()  # if it is empty

    @property
    def is_ready(self) -> bool:
        """The data set is complete, and only has to be moved to its place."""
        return (self.work / _READY).is_file()

    def note(self, row: CandidateRow) -> None:
        """Add a finished candidate to the log."""
        with writable(self.work), open(self.work / _LOG, "ab") as file:
            file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
            file.flush()
            sync_open(file.fileno())
        self.log[row["name"]] = row

    def publish(self, summary: Summary | None) -> None:
        """Move the data set to its place; ``summary`` goes into the file that says that all is there. One that is ready has it."""
        ready = self.work / _READY
        if summary is not None and not ready.is_file():
            entries = sorted(path.name for path in self.data.iterdir())
            with new_file(ready) as partial:
                partial.write_text(json.dumps({"entries": entries, **summary}), encoding="utf-8")
        body = json.loads(ready.read_bytes())
        _require_own(body["entries"], ready)
        with writable(self.out):
            for name in body["entries"]:
                if (self.data / name).exists():
                    os.replace(self.data / name, self.out / name)
        self._say_done({"format": 1, "settings": self.settings, **body})
        shutil.rmtree(self.work)

    @property
    def labelled(self) -> list[str]:
        """The formats of labels that the finished data set has."""
        return (_read(self.out / DONE) or {}).get("labels", [])

    def take_in(self, root: Path, labels: Sequence[str]) -> None:
        """Move all that lies below ``root`` into the finished data set, file by file; then say that it has these ``labels``.

        What is replaced when the data set is grown anew is said before: killed in between, nothing is left over.
        """
        done = json.loads((self.out / DONE).read_bytes())
        names = [path.name for path in root.iterdir() if not path.name.startswith(".")]
        done["entries"] = sorted({*done["entries"], *names})
        self._say_done(done)
        # Those first that others speak of: nobody begins without the lists and data.yaml.
        files = [path for path in root.rglob("*") if path.is_file() and not path.name.startswith(".")]
        with writable(self.out):
            for file in sorted(files, key=lambda path: (path.parent == root, path.suffix == ".yaml", path)):
                target = self.out / file.relative_to(root)
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(file, target)
        done["labels"] = [*done.get("labels", []), *labels]
        self._say_done(done)
        shutil.rmtree(self.work)

    def _say_done(self, body: dict[str, Any]) -> None:
        with new_file(self.out / DONE, overwrite=True) as partial:
            partial.write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n", "utf-8")

    def _clear(self, done: Done | None) -> None:
        """Remove what was grown here, and nothing else."""
        ready = _read(self.work / _READY) or {}
        for told, told_by in ((done or {}, self.out / DONE), (ready, self.work / _READY)):
            _require_own(told.get("entries", []), told_by)
        for name in [*(done or {}).get("entries", []), *ready.get("entries", [])]:
            path = self.out / name
            remove(path)
        (self.out / DONE).unlink(missing_ok=True)
        shutil.rmtree(self.work, ignore_errors=True)


def carry_over(
    pairs: Sequence[Pair], images: Path, masks: Path, *, reader: MaskReader | None = None, renamed: bool = False
) -> bool:
    """Put the real pairs and their side files (``NAME.tfw``, ``NAME.tif.aux.xml``) into two folders, by hard links.

    Where the file system has none, by copies; true when they are copies. With ``reader``, masks are written anew as it reads them.
    ``renamed`` files are called as their scene.
    """
    for pair in pairs:
        for source, folder in ((pair.image, images), (pair.mask, masks)):
            if folder == masks and reader is not None:
                _write_mask(reader, source, masks / f"{pair.name if renamed else source.stem}.tif")
                continue
            for file in _with_side_files(source):
                name = pair.name + file.name[len(source.stem) :] if renamed else file.name
                if not (folder / name).exists():
                    _link(file, folder / name)
    first = pairs[0].name + pairs[0].image.suffix if renamed else pairs[0].image.name
    return not (images / first).samefile(pairs[0].image)


def _write_mask(reader: MaskReader, source: Path, target: Path) -> None:
    if not target.exists():
        pixels, valid = reader.read(source)
        write_raster(target, pixels, reader.grid(source), valid=valid)


def require_inside(pairs: Sequence[Pair], roots: Sequence[Path]) -> None:
    """``DataError`` for a link that leads out of ``roots``: whatever lies there would be given away with the new data set."""
    for pair in pairs:
        for file in (*_with_side_files(pair.image), *_with_side_files(pair.mask)):
            if not any(real_path(file).is_relative_to(root) for root in roots):
                raise DataError(
                    f"{file}: is a link to {real_path(file)}, outside {roots[0]}, and would be carried over into the new data set. "
                    "Put a copy in its place, or move it away."
                )


def _with_side_files(source: Path) -> list[Path]:
    """A raster, and what lies beside it under its name."""
    beside = sorted(source.parent.glob(f"{glob.escape(source.stem)}.*"))
    return [source, *(file for file in beside if file != source and file.is_file())]


def copied_bytes(pairs: Sequence[Pair], out: Path) -> int:
    """How much room the real pairs take on the disk of ``out``: nothing where they can be linked."""
    existing = next(parent for parent in (out.absolute(), *out.absolute().parents) if parent.exists())
    files = [path.stat() for pair in pairs for path in (pair.image, pair.mask)]
    return sum(file.st_size for file in files if file.st_dev != existing.stat().st_dev)


def _link(source: Path, target: Path) -> None:
    """Link ``source``, or copy it."""
    with writable(target.parent):
        try:
            os.link(real_path(source), target)
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
        else:
            return
    with new_file(target) as partial:
        shutil.copyfile(source, partial)  # not its times and rights: a disk without links may refuse those too


def _require_own(names: Sequence[str], told_by: Path) -> None:
    """``DataError`` for a name of what lies elsewhere: what is named here is moved and removed."""
    for name in names:
        if not is_file_name(name):
            raise DataError(f"{told_by}: names {name!r} as a part of the data set, which lies elsewhere. Choose another folder.")


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def _read_log(path: Path) -> dict[str, CandidateRow]:
    """Rows by name. A last line that was cut short is removed: its candidate is made again."""
    if not path.is_file():
        return {}
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        os.truncate(path, len(whole))
    rows = [json.loads(line) for line in whole.splitlines()]
    return {row["name"]: row for row in rows}
