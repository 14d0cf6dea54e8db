"""Jobs on the disk: SQLite, so that a server that was killed has lost none that it accepted."""

import json
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orthoforge.errors import ResourceError
from orthoforge.files import sync

QUEUED, RUNNING, DONE, FAILED, CANCELLED = "queued", "running", "done", "failed", "cancelled"
ENDED = (DONE, FAILED, CANCELLED)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, state TEXT NOT NULL, request TEXT NOT NULL, blocks_done INTEGER NOT NULL DEFAULT 0,
    blocks INTEGER NOT NULL DEFAULT 0, problem TEXT NOT NULL DEFAULT '', created REAL NOT NULL, ended REAL
)
"""


@dataclass(frozen=True)
class Job:
    """A job as it is known: ``request`` are its fields, ``problem`` why it failed; times are seconds since 1970."""

    id: str
    owner: str
    state: str
    request: dict[str, Any]
    blocks_done: int
    blocks: int
    problem: str
    created: float
    ended: float | None

    @property
    def has_ended(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in ENDED


class JobStore:
    """The jobs in a folder, each with a folder of its own for its mask, its blocks and its result."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._database = sqlite3.connect(folder / "jobs.sqlite", check_same_thread=False, isolation_level=None)
        self._database.row_factory = sqlite3.Row
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")  # what was accepted survives the power too
        self._database.execute(_SCHEMA)
        self._database.execute("UPDATE jobs SET state = ? WHERE state = ?", (QUEUED, RUNNING))  # a server was killed
        self._remove_strays()

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def place(self, job_id: str) -> Path:
        """A job's folder."""
        return self.folder / job_id

    def add(self, job_id: str, owner: str, request: dict[str, Any]) -> Job:
        """Accept a job, whose mask lies in its folder. It is on the disk when this returns."""
        for file in self.place(job_id).iterdir():
            sync(file)
        sync(self.place(job_id))
        with self._cursor() as cursor:
            cursor.execute(
                "INSERT INTO jobs (id, owner, state, request, created) VALUES (?, ?, ?, ?, ?)",
                (job_id, owner, QUEUED, json.dumps(request), time.time()),
            )
        found = self.get(job_id)
        assert found is not None
        return found

    def get(self, job_id: str) -> Job | None:
        """A job, or ``None``."""
        with self._cursor() as cursor:
            row = cursor.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
        return None if row is None else _job(row)

    def all(self, owner: str) -> list[Job]:
        """The jobs of one owner, newest first."""
        with self._cursor() as cursor:
            rows = cursor.execute("SELECT * FROM jobs WHERE owner = ? ORDER BY created DESC", (owner,)).fetchall()
        return [_job(row) for row in rows]

    def unfinished(self) -> int:
        """How many wait or run."""
        with self._cursor() as cursor:
            (count,) = cursor.execute("SELECT count(*) FROM jobs WHERE state IN (?, ?)", (QUEUED, RUNNING)).fetchone()
        return int(count)

    def next(self) -> Job | None:
        """The job that waits for longest, which runs from now on."""
        with self._cursor() as cursor:
            row = cursor.execute("SELECT * FROM jobs WHERE state = ? ORDER BY created LIMIT 1", (QUEUED,)).fetchone()
            if row is None:
                return None
            cursor.execute("UPDATE jobs SET state = ? WHERE id = ?", (RUNNING, row["id"]))
        return _job(row)

    def progress(self, job_id: str, done: int, blocks: int) -> None:
        """How far a job is."""
        with self._cursor() as cursor:
            cursor.execute("UPDATE jobs SET blocks_done = ?, blocks = ? WHERE id = ?", (done, blocks, job_id))

    def requeue(self, job_id: str) -> None:
        """A job that was interrupted waits again."""
        with self._cursor() as cursor:
            cursor.execute("UPDATE jobs SET state = ? WHERE id = ? AND state = ?", (QUEUED, job_id, RUNNING))

    def end(self, job_id: str, state: str, problem: str = "") -> bool:
        """A job has ended; whether it had not before."""
        with self._cursor() as cursor:
            cursor.execute(
                "UPDATE jobs SET state = ?, problem = ?, ended = ? WHERE id = ? AND state IN (?, ?)",
                (state, problem, time.time(), job_id, QUEUED, RUNNING),
            )
            return cursor.rowcount > 0

    def remove_ended_before(self, when: float) -> None:
        """Remove results that were kept for long enough."""
        with self._cursor() as cursor:
            rows = cursor.execute("SELECT id FROM jobs WHERE ended < ?", (when,)).fetchall()
            cursor.execute("DELETE FROM jobs WHERE ended < ?", (when,))
        for row in rows:
            shutil.rmtree(self.place(row["id"]), ignore_errors=True)

    def _remove_strays(self) -> None:
        """Folders of jobs that were not accepted before a server was killed."""
        known = {row["id"] for row in self._database.execute("SELECT id FROM jobs")}
        for place in self.folder.iterdir():
            if place.is_dir() and place.name not in known:
                shutil.rmtree(place, ignore_errors=True)

    @contextmanager
    def _cursor(self) -> Iterator[sqlite3.Cursor]:
        with self._lock:
            try:
                with self._database:
                    cursor = self._database.cursor()
                    cursor.execute("BEGIN IMMEDIATE")
                    yield cursor
            except sqlite3.OperationalError as error:
                raise ResourceError(f"its jobs cannot be written ({error}). Free some space on its disk.") from error


def _job(row: sqlite3.Row) -> Job:
    return Job(**{**dict(row), "request": json.loads(row["request"])})
