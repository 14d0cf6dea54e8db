"""Runs jobs, one at a time, block by block, in turns with what else is asked of the devices."""

import asyncio
import contextlib
import logging
import secrets
import shutil
import threading
import time
from pathlib import Path

import numpy as np

from orthoforge.errors import DataError, ResourceError
from orthoforge.files import require_free_space
from orthoforge.generation.outputs import share_tags
from orthoforge.generation.scene import blocks_of
from orthoforge.geo.cog import assemble, read_block, write_block
from orthoforge.geo.grid import Grid, Window
from orthoforge.serving.decoded import PHOTO, DecodedMask
from orthoforge.serving.job_store import CANCELLED, DONE, FAILED, Job, JobStore
from orthoforge.serving.leavable_mask import LeavableMask
from orthoforge.serving.parts import Parts
from orthoforge.serving.problems import Problem, problem_of, without_paths
from orthoforge.serving.queue import BACKGROUND
from orthoforge.serving.scenes import ServedScene
from orthoforge.serving.writing import image_tags

log = logging.getLogger(__name__)
RESULT, BLOCKS = "result.tif", "blocks"
_SWEEP_S = 60.0
_HOUR_S = 3600.0
_AGAIN_S = 5.0
_SPARE_BYTES = 2**20  # for the database, so that it can say that the disk is full
_LEAST_SHARE = 0.3  # of an image's bytes that are left when it is packed


class JobRunner:
    """Takes jobs in the order in which they came. What was interrupted goes on where it was."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.store = JobStore(parts.settings.data / "jobs")
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._running: tuple[str, asyncio.Task[None]] | None = None

    def start(self) -> None:
        """Begin with what waits."""
        self._tasks = [asyncio.ensure_future(self._run()), asyncio.ensure_future(self._sweep())]

    async def close(self) -> None:
        """Stop; the job that runs waits again, with the blocks that it has."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.store.close()

    def require_room(self) -> None:
        """``Problem`` where no further job is taken."""
        self._parts.workers.require_place()
        if self.store.unfinished() >= self._parts.settings.jobs:
            raise Problem("busy", f"{self._parts.settings.jobs} jobs wait or run; ask again in 60 s.", retry_after_s=60)

    def new_place(self) -> tuple[str, Path]:
        """A new job's name and its folder."""
        job_id = secrets.token_urlsafe(16)
        place = self.store.place(job_id)
        place.mkdir()
        return job_id, place

    def wake(self) -> None:
        """A job was added to the store."""
        self._changed.set()

    def cancel(self, job_id: str) -> None:
        """End a job; nothing more of it is made."""
        if self.store.end(job_id, CANCELLED):
            self._parts.metrics.jobs.labels(CANCELLED).inc()
        if self._running is not None and self._running[0] == job_id:
            self._running[1].cancel()

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            try:
                job = self.store.next()
            except ResourceError as error:  # the disk is full; there may be room later
                log.error("jobs: %s", error)
                await asyncio.sleep(_AGAIN_S)
                continue
            if job is None:
                await self._changed.wait()
                continue
            task = asyncio.ensure_future(self._make(job))
            self._running = job.id, task
            try:
                await asyncio.shield(task)
                await self._end(job, DONE)
            except asyncio.CancelledError:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await task
                with contextlib.suppress(ResourceError):  # the next server takes it up as it is
                    self.store.requeue(job.id)  # one that was cancelled has ended already, and stays so
                current = asyncio.current_task()
                if current is not None and current.cancelling():
                    raise
                shutil.rmtree(self.store.place(job.id) / BLOCKS, ignore_errors=True)
            except Exception as error:
                log.exception("job %s failed", job.id)
                await self._end(job, FAILED, without_paths(problem_of(error).detail, self._parts.settings.data))
            finally:
                self._running = None

    async def _end(self, job: Job, state: str, problem: str = "") -> None:
        """Say how a job ended. Its blocks go first: where they filled the disk, there is then room to say so."""
        await asyncio.to_thread(shutil.rmtree, self.store.place(job.id) / BLOCKS, ignore_errors=True)
        while True:
            try:
                has_ended = self.store.end(job.id, state, problem)
                break
            except ResourceError as error:  # others filled it: what was accepted is not lost for that
                log.error("job %s: %s", job.id, error)
                await asyncio.sleep(_AGAIN_S)
        if has_ended:
            self._parts.metrics.jobs.labels(state).inc()

    async def _make(self, job: Job) -> None:
        """The result, out of blocks. What was begun ends soon after it is cancelled."""
        unwanted = threading.Event()
        try:
            await self._made(job, unwanted)
        finally:
            unwanted.set()

    async def _made(self, job: Job, unwanted: threading.Event) -> None:
        parts, place = self._parts, self.store.place(job.id)
        model = parts.models.find(job.request["model"])
        if (place / PHOTO).exists():
            parts.models.photos.keep(job.request["style"], np.load(place / PHOTO, allow_pickle=False))
        style = parts.models.require_style(model, job.request["style"])
        mask = LeavableMask(await asyncio.to_thread(DecodedMask, place), unwanted)
        sun = job.request.get("sun")  # jobs from before there was one have none
        served = ServedScene(parts.models, parts.workers, model, job.request["style"], mask, job.request["seed"], sun=sun)
        side_px = await asyncio.to_thread(served.block_side_px)
        await asyncio.to_thread(served.find_buildings)
        grid, scene = served.scene.delivered.grid, served.scene
        needed = 2 * _LEAST_SHARE * served.pixels * scene.generator.bands
        windows = blocks_of(grid, side_px)
        (place / BLOCKS).mkdir(exist_ok=True)
        paths = {window: place / BLOCKS / f"{window.row}_{window.col}_{side_px}.tif" for window in windows}
        pixels_of = None
        for number, (window, path) in enumerate(paths.items()):
            self.store.progress(job.id, number, len(windows))
            if await asyncio.to_thread(_is_whole, path):
                continue
            # Half of it is for the blocks, of which there are some already. Others write on this disk too.
            left = needed * (1 - number / len(windows) / 2)
            require_free_space(place, round(left) + _SPARE_BYTES, "what is left of the job")
            made = await asyncio.wrap_future(served.block(window, urgency=BACKGROUND, admitted=True))
            if made.pixels_of is not None:
                pixels_of = made.pixels_of if pixels_of is None else pixels_of + made.pixels_of
            await asyncio.to_thread(write_block, path, made.image, made.valid)
        tags = image_tags(scene, style) | share_tags(scene.generator, pixels_of)
        await asyncio.to_thread(_assembled, place / RESULT, paths, scene.delivered.grid, tags)
        self.store.progress(job.id, len(windows), len(windows))

    async def _sweep(self) -> None:
        while True:
            with contextlib.suppress(ResourceError):  # later, then
                self.store.remove_ended_before(time.time() - self._parts.settings.result_hours * _HOUR_S)
            await asyncio.sleep(_SWEEP_S)


def _assembled(path: Path, blocks: dict[Window, Path], grid: Grid, tags: dict[str, str]) -> None:
    assemble(path, blocks, grid, tags=tags, overwrite=True)


def _is_whole(path: Path) -> bool:
    try:
        read_block(path)
    except (DataError, OSError):
        return False
    return True
