"""The tutorial on drawing and serving: its requests and its Python, against a server."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from servers import live

from conftest import make_grid, make_mask, write_tiff
from documented import working_in

TEXT = (Path(__file__).parents[2] / "docs" / "tutorials" / "draw-and-serve.md").read_text("utf-8")
SIZE = (256, 256)

# Threads that write blocks change the filters of warnings of the whole process, one after the other's back.
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory):
    """The tutorial's text for a server that listens here, in a folder with the files that it names."""
    folder = tmp_path_factory.mktemp("tutorial")
    layer = write_tiff(folder / "town.tif", make_mask(SIZE), make_grid(SIZE))
    write_tiff(folder / "mask.tif", make_mask(48), make_grid(48))
    Image.fromarray(make_mask(48)).save(folder / "mask.png")
    with live(folder / "served", layers=[layer]) as (port, _), working_in(folder):
        yield TEXT.replace("127.0.0.1:8000", f"127.0.0.1:{port}").replace("austin", "north")


def blocks(text, language):
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.S)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_its_requests_are_answered(tutorial):
    lines = "".join(blocks(tutorial, "sh")).splitlines()
    answers = [subprocess.run(shlex.split(line), check=True, capture_output=True, text=True).stdout for line in lines]
    assert len(lines) == 6
    said = json.loads(answers[3])
    assert said["status"] == 422 and "atlantis" in said["detail"] and "north, south" in said["detail"]
    assert "town" in answers[4] and json.loads(Path("town.json").read_text())["tiles"]
    assert np.asarray(Image.open("image.png")).shape == (48, 48, 3)
    assert Path("images.zip").stat().st_size > Path("image.tif").stat().st_size > 0


def test_its_python_runs(tutorial):
    names: dict = {}
    for code in blocks(tutorial, "python"):
        exec(code, names)
    assert np.asarray(Image.open("from-python.png")).shape == (48, 48, 3)
    assert np.asarray(Image.open("town-like.png")).shape == (256, 256, 3)
    assert Path("scene.tif").stat().st_size > 0
