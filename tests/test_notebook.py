"""The notebook, executed: cut off in the middle of its training, as by a disconnect, and once more in the same folder."""

import asyncio
import json
import os
import re
import signal
import threading
import time
from pathlib import Path

import nbformat
import numpy as np
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError

from orthoforge.geo.rasters import open_raster, read_image, read_tags
from orthoforge.run_files import read_results
from orthoforge.tiles.store import TileStore

PATH = Path(__file__).parents[1] / "notebooks" / "orthoforge.ipynb"
EPOCHS = 8
# Everything else stays as a reader finds it.
PARAMETERS = {
    "WORK": "made",
    "TILE_PX": 48,
    "SPLIT": "digits",
    "PLACES": ["arden"],
    "SCENES_PER_PLACE": 9,
    "SCENE_PX": 100,
    "CHANGES": {
        "crop_px": 32, "generator": "resnet6", "generator_width": 2, "discriminator_width": 2, "batch_size": 8,
        "epochs": EPOCHS, "decay_epochs": 0, "panels_every": 4, "precision": "float32",
        "ema_decay": 0.0, "learning_rate": 2e-3,
    },
}  # fmt: skip


def read_notebook():
    return nbformat.read(PATH, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def kernels_of(python: Path) -> type[AsyncKernelManager]:
    """Kernels of this interpreter, whatever kernels are installed for this user."""
    spec = KernelSpec(argv=[str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"], language="python")
    return type("Kernels", (AsyncKernelManager,), {"kernel_spec": spec})


def execute(python: Path, folder: Path, notebook) -> None:
    """Run all cells with the small parameters, in ``folder``."""
    (given,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    names = re.findall(r"^([A-Z_]+) = ", given.source, flags=re.M)
    assert set(PARAMETERS) <= set(names)
    given.source += "\n" + "\n".join(f"{name} = {value!r}" for name, value in PARAMETERS.items())
    resources = {"metadata": {"path": str(folder)}}
    client = NotebookClient(notebook, timeout=120, resources=resources, kernel_manager_class=kernels_of(python))
    try:
        asyncio.run(client.async_execute(env=os.environ | {"IPYTHONDIR": str(folder / ".ipython")}))
    finally:
        if client.kc is not None:
            client.kc.stop_channels()


def text_of(notebook) -> str:
    outputs = [output for cell in code_cells(notebook) for output in cell.get("outputs", [])]
    return "".join(output.get("text", "") for output in outputs)


def cut_off(folder: Path, run: Path) -> threading.Thread:
    """A thread that kills the kernel once two epochs are done."""

    def watch() -> None:
        while not (run / "results.csv").is_file() or len(read_results(run)) < 2:
            time.sleep(0.01)
        pid = int((folder / "kernel.pid").read_text())
        os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


@pytest.fixture(scope="module")
def executed(warm_python, tmp_path_factory):
    """The folder, the notebook as it ended, and the state of the run when it was cut off."""
    folder = tmp_path_factory.mktemp("notebook")
    run = folder / "made" / "runs" / "first"
    notebook = read_notebook()
    code_cells(notebook)[0].source += "\nimport os, pathlib; pathlib.Path('kernel.pid').write_text(str(os.getpid()))"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_RUNTIME_DIR", str(folder / ".jupyter"))
        watcher = cut_off(folder, run)
        with pytest.raises(DeadKernelError):
            execute(warm_python.executable, folder, notebook)
        watcher.join(timeout=5)
        before = {"state": json.loads((run / "weights/last/state.json").read_text()), "rows": read_results(run)}
        notebook = read_notebook()
        execute(warm_python.executable, folder, notebook)
    return folder / "made", notebook, before


def test_it_makes_tiles(executed):
    made, _, _ = executed
    tiles = TileStore.open(made / "tiles")
    assert {split: len(tiles.ids(split)) for split in ("train", "val", "test")} == {"train": 24, "val": 8, "test": 4}


def test_the_run_goes_on_after_a_disconnect(executed):
    made, notebook, before = executed
    run = made / "runs" / "first"
    epoch = before["state"]["progress"]["epoch"]
    assert 1 <= epoch < EPOCHS
    assert f"resuming {run} at epoch {epoch + 1}" in text_of(notebook)
    rows = read_results(run)
    assert [row["epoch"] for row in rows] == list(range(1, EPOCHS + 1))
    timing = ("seconds", "images_per_s", "data_wait")
    for row, former in zip(rows[:epoch], before["rows"], strict=False):
        assert row == former, "an epoch that was done was trained again"
    for row, former in zip(rows, before["rows"], strict=False):
        assert {k: v for k, v in row.items() if k not in timing} == {k: v for k, v in former.items() if k not in timing}
    assert json.loads((run / "weights/last/state.json").read_text())["progress"]["step"] == 3 * EPOCHS
    assert f"{EPOCHS} of {EPOCHS} epochs are done" in text_of(notebook)


def test_it_generates_an_image_on_the_masks_grid(executed):
    made, _, _ = executed
    with open_raster(made / "masks/unseen.tif") as mask, open_raster(made / "images/unseen.tif") as image:
        assert image.grid == mask.grid
        assert mask.grid.crs is not None
        assert np.ptp(read_image(image)) > 0
    assert read_tags(made / "images/unseen.tif")["SYNTHETIC"] == "YES"
    tiles = TileStore.open(made / "tiles")
    assert mask.grid in [tiles.rows[tile_id].grid for tile_id in tiles.ids("test")]


def test_it_evaluates(executed):
    made, notebook, _ = executed
    report = json.loads((made / "scores/report.json").read_text(encoding="utf-8"))
    assert report["data"]["n"] == 4
    assert report["data"]["trained_on_these"] is True
    assert "4 tiles of split test" in text_of(notebook)


def test_it_shows_pictures_and_the_report(executed):
    _, notebook, _ = executed
    shown = {cell.id: [kind for output in cell.outputs for kind in output.get("data", {})] for cell in code_cells(notebook)}
    assert shown["curves"].count("image/png") == 2
    assert shown["generate"].count("image/png") == 1
    (page,) = [
        output.data["text/html"]
        for cell in code_cells(notebook)
        if cell.id == "evaluate"
        for output in cell.outputs
        if "data" in output
    ]
    assert "srcdoc" in page and "Evaluation of first" in page
    assert not [output for cell in code_cells(notebook) for output in cell.outputs if output.get("name") == "stderr"]


def test_it_is_committed_without_outputs_and_belongs_to_no_machine():
    nbformat.validate(json.loads(PATH.read_text(encoding="utf-8")))
    notebook = read_notebook()
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    for cell in code_cells(notebook):
        assert cell.outputs == [] and cell.execution_count is None, cell.id
        compile(TransformerManager().transform_cell(cell.source), cell.id, "exec")
    assert all(re.fullmatch(r"[a-z-]+", cell.id) for cell in notebook.cells)  # not drawn anew each time it is saved
    text = PATH.read_text(encoding="utf-8")
    paths = set(re.findall(r"""["'(](/[a-zA-Z]\w*)""", text.replace('\\"', '"')))
    assert paths <= {"/content"}, paths  # Colab's
    assert not re.search(r"/(home|root|tmp|Users|work)/", text)
