"""Commands that are killed between an image and what lies beside it, and commands that run at once, in processes of their own."""

import errno
import json
import os
import subprocess
import textwrap
from pathlib import Path

import numpy as np
import pytest

from conftest import make_grid, make_mask, write_tiff
from orthoforge.errors import ConfigError, DataError, OutputExistsError
from orthoforge.generation import batch, generate
from orthoforge.generation.blocks import folder_of
from orthoforge.geo.rasters import open_raster, read_image
from orthoforge.geo.signing import MEDIA_TYPES, require_signer
from orthoforge.masks.palette import load_classes
from orthoforge.trained_generator import load_generator
from saved_runs import save_run
from signers import make_signer

DIES = """
    import os, sys
    from pathlib import Path
    from orthoforge.generation import batch, scene, side_files
    if sys.argv[1] == "blocks":
        scene.BLOCK_BYTES = 1.0  # the smallest blocks there are
    side_files.write_stac_item = lambda *arguments, **options: os._exit(9)
    run, out, *masks = map(Path, sys.argv[2:])
    batch.generate(run, masks, out, overlap=8)
"""
WAITS = """
    import sys, time
    from pathlib import Path
    from orthoforge.generation import batch
    write = batch._write_scene
    def slow(*arguments):
        print("at it", flush=True)
        sys.stdin.readline()
        write(*arguments)
    batch._write_scene = slow
    run, out, *masks = map(Path, sys.argv[1:])
    batch.generate(run, masks, out)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return save_run(tmp_path_factory.mktemp("run")).parents[1]


@pytest.fixture
def python(warm_python):
    """Starts a process of its own that runs code."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return lambda code, *arguments: warm_python.start("-c", textwrap.dedent(code), *arguments, **pipes)


def town(folder, name, size=64):
    return write_tiff(folder / f"{name}.tif", make_mask(size), make_grid(size))


@pytest.mark.parametrize("how", ["whole", "blocks"])
def test_killed_between_an_image_and_its_item_the_next_command_writes_the_item(run, python, tmp_path, monkeypatch, how):
    if how == "blocks":
        monkeypatch.setattr("orthoforge.generation.scene.BLOCK_BYTES", 1.0)
    mask = town(tmp_path / "masks", "a", 90)
    out = tmp_path / "out.tif"
    killed = python(DIES, how, run, out, mask)
    _, err = killed.communicate(timeout=120)
    assert killed.returncode == 9, err
    assert out.exists()
    assert not out.with_suffix(".json").exists()
    made_at = out.stat().st_mtime_ns
    generate(run, [mask], out, overlap=8)
    assert out.stat().st_mtime_ns == made_at  # the image was kept
    item = json.loads(out.with_suffix(".json").read_text())
    assert item["properties"]["orthoforge:seed"] == "0"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["masks", "out.json", "out.tif"]
    with pytest.raises(OutputExistsError, match=r"exists\. Pass --overwrite"):
        generate(run, [mask], out, overlap=8)  # it lacks nothing now


def test_items_of_a_batch_that_are_lacking_are_written_and_the_others_left(run, tmp_path):
    masks = [town(tmp_path / "masks", name) for name in "ab"]
    first, second = generate(run, masks, tmp_path / "out")
    kept = second.with_suffix(".json").read_bytes()
    wanted = json.loads(first.with_suffix(".json").read_text())
    first.with_suffix(".json").unlink()
    generate(run, masks, tmp_path / "out")
    assert json.loads(first.with_suffix(".json").read_text()) == wanted
    assert second.with_suffix(".json").read_bytes() == kept


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_an_image_that_is_there_is_signed_when_that_is_asked_for(run, tmp_path, monkeypatch, suffix):
    c2pa = pytest.importorskip("c2pa")
    mask, out = town(tmp_path / "masks", "a"), tmp_path / f"out{suffix}"
    generate(run, [mask], out)
    before = out.read_bytes()
    signer = tuple(make_signer(tmp_path).values())
    monkeypatch.setattr(batch, "_write_scene", None)  # would fail if it were called
    generate(run, [mask], out, sign=signer)
    assert out.read_bytes() == before
    manifest = out.with_suffix(".c2pa").read_bytes()
    with open(out, "rb") as file, c2pa.Reader(MEDIA_TYPES[suffix], file, manifest) as reader:
        assert json.loads(reader.json())["validation_state"] == "Valid"
    with pytest.raises(OutputExistsError, match=r"exists\. Pass --overwrite"):
        generate(run, [mask], out, sign=signer)
    with pytest.raises(OutputExistsError, match=r"exists\. Pass --overwrite"):
        generate(run, [mask], out, seed=1, sign=signer)  # another image is not this one, whatever it lacks


def test_of_two_equal_requests_at_once_one_makes_the_image_and_both_end_well(run, python, tmp_path):
    mask, out = town(tmp_path / "masks", "a"), tmp_path / "out"
    bad = [tmp_path / "masks" / name for name in ("first.tif", "second.tif")]
    for path in bad:
        path.write_bytes(b"no raster")
    first = python(WAITS, run, out, mask, bad[0])
    assert first.stdout.readline() == "at it\n"
    second = python(WAITS, run, out, mask, bad[1])
    assert second.stderr.readline() == f"{out / 'a.tif'}: another process is making it; waiting for its end\n"
    _, err = first.communicate("go on\n", timeout=120)
    assert "DataError: 1 of 2 masks failed" in err
    told, err = second.communicate(timeout=120)
    assert "DataError: 1 of 2 masks failed" in err
    assert told == ""  # it made no image
    with open_raster(out / "a.tif") as raster:
        assert np.asarray(read_image(raster)).shape == (64, 64, 3)
    assert sorted(path.name for path in out.iterdir()) == ["a.json", "a.tif", "failures.txt"]
    rows = (out / "failures.txt").read_text().splitlines()
    assert [row.partition("\t")[0] for row in rows] == list(map(str, bad))


def test_rows_of_failures_go_when_their_own_masks_are_mended(run, tmp_path):
    sound = town(tmp_path / "masks", "sound")
    bad = [tmp_path / "masks" / name for name in ("one.tif", "two.tif")]
    for path in bad:
        path.write_bytes(b"no raster")
        with pytest.raises(DataError, match="1 of 2 masks failed"):
            generate(run, [sound, path], tmp_path / "out")
    town(tmp_path / "masks", "one")
    generate(run, [sound, bad[0]], tmp_path / "out")
    (row,) = (tmp_path / "out/failures.txt").read_text().splitlines()
    assert row.startswith(f"{bad[1]}\t{bad[1]}: not a GTiff file")
    town(tmp_path / "masks", "two")
    generate(run, [sound, bad[1]], tmp_path / "out")
    assert not (tmp_path / "out/failures.txt").exists()


def test_names_that_disks_refuse_are_said_before_the_first_image(run, tmp_path):
    masks = [town(tmp_path, "a"), town(tmp_path, "x" * 251)]
    with pytest.raises(ConfigError, match=r"xxx…: the name has 256 bytes, and disks allow 255\. Rename the mask"):
        generate(run, masks, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_blocks_of_long_names_have_folders_of_their_own():
    one, other = (folder_of(Path("é" * 120 + end)) for end in ("1.tif", "2.tif"))
    assert one != other
    assert len(os.fsencode(one.name)) < 120
    assert folder_of(Path("out/a.tif")) == Path("out/.a.tif.blocks")


@pytest.mark.parametrize("what", ["list", "folder", "certificate", "palette"])
def test_what_may_not_be_read_is_named(run, tmp_path, monkeypatch, what):
    """As the system says it: root, who may run the tests, is refused nothing."""
    mask, secret = town(tmp_path / "masks", "a"), tmp_path / "secret.txt"
    secret.write_text("a.tif")
    generator = load_generator(run)

    def refuse(path, *_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    for name in ("read_text", "read_bytes", "iterdir"):
        monkeypatch.setattr(Path, name, refuse)
    calls = {
        "list": lambda: generate(generator, [secret], tmp_path / "out"),
        "folder": lambda: generate(generator, [mask.parent], tmp_path / "out"),
        "certificate": lambda: require_signer(secret, secret),
        "palette": lambda: load_classes(secret),
    }
    with pytest.raises((DataError, ConfigError), match=r"(secret\.txt|masks): .*Permission denied"):
        calls[what]()
