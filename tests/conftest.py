"""Small rasters for tests, and the folder of real ones."""

import contextlib
import gc
import os
import signal
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import settings
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning

from orthoforge import run_files
from orthoforge.geo.grid import Grid
from orthoforge.run_files import plot_results
from warm_python import WarmPython

# Started in the background of a script the suite would be deaf to Ctrl-C, and so would be all that it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Before torch is imported: on networks of a few channels two threads mostly wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The suite draws the same examples every time. HYPOTHESIS_PROFILE=explore looks for new ones: give what it finds an `@example`.
settings.register_profile("suite", derandomize=True, max_examples=50, deadline=None)
settings.register_profile("explore", max_examples=1000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))

# Files that take longest. `make test` hands out files in this order, the others after them. What test_hostile.py forks inherits a
# worker's memory and is judged by it, so it comes while that is small.
LONGEST = (
    "test_hostile.py", "test_examples.py", "test_utility.py", "test_grow.py", "test_variants.py", "test_material.py",
    "test_readme.py", "test_qgis_plugin.py", "test_export.py", "test_demonstration.py", "test_bands.py", "test_faults.py",
    "test_forge.py", "test_evaluate.py", "test_end_to_end.py", "test_training.py", "test_pairs.py", "test_segmentation.py",
    "test_styled_training.py", "test_blocks.py", "test_typed_api.py", "test_trackers.py", "test_backends.py", "test_layouts.py",
    "test_canvas.py", "test_resume.py", "test_experiments.py", "test_processes.py", "test_cloud.py", "test_real_places.py",
    "test_notebook.py",
)  # fmt: skip

gc.disable()  # while tests are collected: what is imported stays

UTM = CRS.from_epsg(32633)
# Sub-folders of DATA: Inria's archive as downloaded, and what other people have.
LAYOUTS = {
    "folders": ("images", "masks"),
    "gt": ("images", "gt"),
    "inria": ("train/images", "train/gt"),
    "archive": ("AerialImageDataset/train/images", "AerialImageDataset/train/gt"),
}


def examples(share: float) -> settings:
    """For a test whose examples take long: this share of those that the profile draws."""
    return settings(max_examples=max(1, round(share * settings.default.max_examples)))


def make_grid(size: int | tuple[int, int] = 64, *, crs: CRS | None = UTM, gsd_m: float = 0.3) -> Grid:
    """A north-up grid in central Europe; without a CRS its transform is the identity."""
    height, width = (size, size) if isinstance(size, int) else size
    transform = Affine(gsd_m, 0, 500_000, 0, -gsd_m, 5_000_000) if crs else Affine.identity()
    return Grid(height, width, transform, crs)


def make_mask(size: int | tuple[int, int] = 64, *, seed: int = 0) -> np.ndarray:
    """Rectangular buildings on about a fifth of (H, W) uint8, 0 and 255."""
    rng = np.random.default_rng(seed)
    height, width = (size, size) if isinstance(size, int) else size
    mask = np.zeros((height, width), np.uint8)
    for row in range(4, height - 12, 24):
        for col in range(4, width - 12, 24):
            high, wide = rng.integers(6, 15, 2)
            mask[row : row + high, col : col + wide] = 255
    return mask


def make_image(mask: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """(H, W, 3) uint8: ground with texture, and roofs, brighter, where the mask is."""
    rng = np.random.default_rng(seed)
    ground = rng.normal((90, 100, 70), 12, (*mask.shape, 3))
    return np.clip(ground + (mask[..., None] > 0) * np.array([70, 50, 60]), 0, 255).astype(np.uint8)


def write_tiff(path: Path, array: np.ndarray, grid: Grid | None = None, **options: object) -> Path:
    """A plain GeoTIFF of any kind, good or bad, as other programs write them: (H, W) or (H, W, C), any dtype."""
    bands = array[..., None] if array.ndim == 2 else array
    place = {"transform": grid.transform, "crs": grid.crs} if grid else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        shape = {"height": bands.shape[0], "width": bands.shape[1], "count": bands.shape[2], "dtype": bands.dtype}
        with rasterio.open(path, "w", **({"driver": "GTiff"} | shape | place | options)) as dataset:
            dataset.write(np.moveaxis(bands, -1, 0))
    return path


def make_pair(
    root: Path,
    name: str,
    size: int | tuple[int, int] = 64,
    *,
    crs: CRS | None = UTM,
    layout: str = "folders",
    suffix: str = ".tif",
    seed: int = 0,
) -> tuple[Path, Path]:
    """Write an image and its mask below ``root`` and return their paths."""
    grid, mask = make_grid(size, crs=crs), make_mask(size, seed=seed)
    image_folder, mask_folder = LAYOUTS[layout]
    options = {"driver": "PNG"} if suffix.lower() == ".png" else {}
    place = None if options else grid
    image = write_tiff(root / image_folder / f"{name}{suffix}", make_image(mask, seed=seed), place, **options)
    return image, write_tiff(root / mask_folder / f"{name}{suffix}", mask, place, **options)


def make_dataset(root: Path, names: Iterable[str], size: int | tuple[int, int] = 64, **options: object) -> Path:
    """Write pairs of these names below ``root``, each with its own seed, and return ``root``."""
    for seed, name in enumerate(names):
        make_pair(root, name, size, seed=seed, **options)
    return root


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real pairs (mark the test ``real_data``)."""
    beside = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    folder = Path(os.environ.get("ORTHOFORGE_SHARED_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is not there (set ORTHOFORGE_SHARED_DATA)")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _no_plots() -> Iterator[None]:
    """Trainings draw no ``results.png``, which takes half of the time of so short ones. Where it is asked for, see ``plotted``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_files, "plot_results", lambda run: None)
        yield


@contextlib.contextmanager
def plotted() -> Iterator[None]:
    """Trainings draw ``results.png``, as they do outside of tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_files, "plot_results", plot_results)
        yield


@pytest.fixture(scope="session")
def warm_python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmPython]:
    """A ``python`` that has imported what commands import: programs start in it at once, each in a process of its own."""
    with WarmPython(tmp_path_factory.mktemp("warm")) as warm:
        yield warm


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files come first: one of them at the end would keep one worker busy while the other has nothing left."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


def pytest_collection_finish() -> None:
    """What torch and others imported stays to the end; without it Python's garbage collector has little to look through."""
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    gc.enable()


def pytest_terminal_summary(terminalreporter) -> None:
    """With ORTHOFORGE_REAL_DATA=required (as .ci/run sets it beside the real pairs) skipping their tests is a failure."""
    if skipped := _unwanted_skips(terminalreporter):
        terminalreporter.write_line(f"{len(skipped)} tests of real data were skipped, though the data is there:", red=True)
        for report in skipped:
            terminalreporter.write_line(f"  {report.nodeid}: {report.longrepr[2]}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session) -> None:
    if _unwanted_skips(session.config.pluginmanager.get_plugin("terminalreporter")):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _unwanted_skips(terminalreporter) -> list:
    if os.environ.get("ORTHOFORGE_REAL_DATA") != "required" or terminalreporter is None:  # a worker of pytest-xdist has none
        return []
    return [report for report in terminalreporter.stats.get("skipped", []) if "real_data" in report.keywords]
