"""Scenes of several blocks in files: killed, damaged, changed, on a full disk, on two devices."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio

from conftest import make_grid, make_mask, write_tiff
from orthoforge.config import Recipe
from orthoforge.errors import DataError, ResourceError
from orthoforge.generation import blocks, generate, scene
from orthoforge.generation.outputs import synthetic_tags
from orthoforge.geo.rasters import open_raster, read_image, read_tags
from orthoforge.trained_generator import load_generator
from saved_runs import save_run
from small_disk import small_disk

OVERLAP = 8  # and so blocks of 32 px


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return save_run(tmp_path_factory.mktemp("run")).parents[1]


@pytest.fixture
def mask_path(tmp_path):
    return write_tiff(tmp_path / "town.tif", make_mask((90, 70)), make_grid((90, 70)))


@pytest.fixture(autouse=True)
def smallest_blocks(monkeypatch):
    monkeypatch.setattr(scene, "BLOCK_BYTES", 1.0)


@pytest.fixture
def made(monkeypatch):
    """Windows of the blocks that were generated, in turn."""
    windows, make = [], blocks._make

    def noting(scene, window, *arguments):
        windows.append(window)
        return make(scene, window, *arguments)

    monkeypatch.setattr(blocks, "_make", noting)
    return windows


def pixels(path):
    with open_raster(path) as raster:
        return read_image(raster)


def stop_after(monkeypatch, count, error=KeyboardInterrupt):
    """Let generating end with an error after so many blocks."""
    make, calls = blocks._make, []

    def failing(*arguments):
        calls.append(1)
        if len(calls) > count:
            raise error
        return make(*arguments)

    monkeypatch.setattr(blocks, "_make", failing)


@pytest.mark.parametrize("generator", ["resunet6", "unet256", "modulated"])
def test_a_scene_of_blocks_is_the_scene_in_one_piece(tmp_path, made, monkeypatch, generator):
    """Through files, with noise, statistics of the image and a place: on a machine with little memory as on a large one."""
    recipe = Recipe(name="noisy", generator=generator, generator_width=4, norm="instance", upsample="resize")
    noisy = save_run(tmp_path / "run", recipe, places=("aba", "oro") if generator == "modulated" else None).parents[1]
    mask = write_tiff(tmp_path / "mask.tif", make_mask((300, 600)), make_grid((300, 600)))
    monkeypatch.setattr(scene, "BLOCK_BYTES", 1e9)
    (whole,) = generate(noisy, [mask], tmp_path / "whole.tif", seed=2)
    assert made == []
    monkeypatch.setattr(scene, "block_side_px", lambda *_: 170)
    (blocks,) = generate(noisy, [mask], tmp_path / "blocks.tif", seed=2)
    assert len(made) == 8
    assert pixels(whole).std() > 5
    assert np.abs(pixels(whole).astype(int) - pixels(blocks)).max() <= 1


def test_blocks_become_one_tagged_file_at_their_place(run, tmp_path, mask_path, made):
    (path,) = generate(run, [mask_path], tmp_path / "blocks.tif", overlap=OVERLAP)
    assert len(made) == 9
    grid = make_grid((90, 70))
    with open_raster(path) as raster:
        assert raster.grid == grid
    assert read_tags(path)["SYNTHETIC"] == "YES"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["blocks.json", "blocks.tif", "town.tif"]


def test_a_killed_scene_is_never_taken_for_a_finished_one_and_goes_on(run, warm_python, tmp_path):
    size = (100, 130)
    mask = write_tiff(tmp_path / "town.tif", make_mask(size), make_grid(size))
    scenes = tmp_path / "scenes"
    scenes.mkdir()
    said = warm_python.run(Path(__file__).with_name("killed.py"), run, mask, scenes / "scene0.tif", scenes, 4, 1)
    found = json.loads(said)
    assert found["kills"] == 4
    assert (found["false_complete"], found["different"], found["leftovers"]) == (0, 0, 0)
    total = found["blocks"][0]
    assert total == 4 * 5
    # A kill may come before a block is written, or after that and before it is noted; all others are reused.
    assert all(total - 4 <= count <= total + 4 for count in found["blocks"][1:])


def test_finished_blocks_are_reused_and_a_damaged_one_is_made_again(run, tmp_path, mask_path, made, monkeypatch):
    out = tmp_path / "out.tif"
    with monkeypatch.context() as patch:
        stop_after(patch, 5)
        with pytest.raises(KeyboardInterrupt):
            generate(run, [mask_path], out, overlap=OVERLAP)
    assert not out.exists()
    first = list(made)
    assert len(first) == 5
    folder = tmp_path / ".out.tif.blocks"
    damaged = folder / f"{first[2].row}_{first[2].col}.tif"
    damaged.write_bytes(damaged.read_bytes()[:-40])
    made.clear()
    generate(run, [mask_path], out, overlap=OVERLAP)
    assert len(made) == 5 and first[2] in made  # four that were missing, and the damaged one
    (whole,) = generate(run, [mask_path], tmp_path / "again.tif", overlap=OVERLAP)
    assert np.array_equal(pixels(out), pixels(whole))
    assert not folder.exists()


@pytest.mark.parametrize("change", ["seed", "mask", "run", "overlap", "threshold"])
def test_blocks_of_another_scene_are_not_reused(run, tmp_path, mask_path, made, monkeypatch, change):
    out = tmp_path / "out.tif"
    with monkeypatch.context() as patch:
        stop_after(patch, 5)
        with pytest.raises(KeyboardInterrupt):
            generate(run, [mask_path], out, overlap=OVERLAP)
    made.clear()
    if change == "mask":
        write_tiff(mask_path, make_mask((90, 70), seed=5), make_grid((90, 70)))
    if change == "run":
        run = save_run(tmp_path / "other", step=9).parents[1]
    changed = {"seed": {"seed": 1}, "overlap": {"overlap": 7}, "threshold": {"threshold": 128}}.get(change, {})
    generate(run, [mask_path], out, **({"overlap": OVERLAP} | changed))
    assert len(made) >= 9


def test_two_devices_make_the_same_scene(run, tmp_path, mask_path, made):
    (one,) = generate(run, [mask_path], tmp_path / "one.tif", overlap=OVERLAP)
    made.clear()
    (two,) = generate(run, [mask_path], tmp_path / "two.tif", overlap=OVERLAP, device="cpu,cpu")
    assert len(made) == 9
    assert np.array_equal(pixels(one), pixels(two))


def test_a_disk_that_fills_up_between_blocks_is_said_and_leaves_no_image(run, tmp_path, mask_path, monkeypatch):
    mask = write_tiff(tmp_path / "large.tif", make_mask((300, 300)), make_grid((300, 300)))
    with small_disk(tmp_path / "disk", 1_000_000) as disk:
        (disk / "mine").write_bytes(b"x" * 700_000)
        monkeypatch.setattr("orthoforge.generation.batch.LEAST_SHARE", 0.0)  # what is checked ahead is another test's
        with pytest.raises(ResourceError, match=r"no space left on the disk|could not be written"):
            generate(run, [mask], disk / "out.tif", overlap=OVERLAP)
        assert not (disk / "out.tif").exists()
        (disk / "mine").unlink()
        generate(run, [mask], disk / "out.tif", overlap=OVERLAP)
        assert sorted(path.name for path in disk.iterdir()) == ["out.json", "out.tif"]


def test_a_bad_value_in_the_last_row_is_found_before_the_first_block(run, tmp_path, made):
    mask = make_mask((90, 70))
    mask[-1, -1] = 37
    with pytest.raises(DataError, match="value 37"):
        generate(run, [write_tiff(tmp_path / "town.tif", mask, make_grid((90, 70)))], tmp_path / "out.tif", overlap=OVERLAP)
    assert made == []


def test_nodata_of_the_mask_has_no_image(run, tmp_path):
    mask = make_mask((90, 70))
    mask[:40, :50] = 99
    path = write_tiff(tmp_path / "town.tif", mask, make_grid((90, 70)), nodata=99)
    for name, overlap in (("one.tif", None), ("blocks.tif", OVERLAP)):
        (made,) = generate(run, [path], tmp_path / name, overlap=overlap)
        with rasterio.open(made) as dataset:
            valid = dataset.dataset_mask()
        assert np.array_equal(valid == 0, mask == 99), name


def test_variants_go_on_where_they_stopped(tmp_path, mask_path):
    recipe = Recipe(name="noisy", generator="unet256", generator_width=2, norm="batch")
    noisy = save_run(tmp_path / "noisy", recipe).parents[1]
    generate(noisy, [mask_path], tmp_path / "out", variants=3)
    kept = (tmp_path / "out/town_v1.tif").stat().st_mtime_ns
    (tmp_path / "out/town_v3.tif").unlink()
    (tmp_path / "out/town_v3.json").unlink()
    assert len(generate(noisy, [mask_path], tmp_path / "out", variants=3)) == 3
    assert (tmp_path / "out/town_v1.tif").stat().st_mtime_ns == kept


def test_a_stopped_batch_keeps_its_images_and_lists_what_failed(run, tmp_path, monkeypatch):
    masks = tmp_path / "masks"
    for name in ("a", "b", "c", "d"):
        write_tiff(masks / f"{name}.tif", make_mask(32), make_grid(32))
    (masks / "b.tif").write_bytes(b"no raster")
    for _ in range(2):
        with pytest.raises(DataError, match=r"(?s)1 of 4 masks failed.*failures\.txt.*b\.tif: not a GTiff file"):
            generate(run, [masks], tmp_path / "out")
    assert sorted(path.stem for path in (tmp_path / "out").glob("*.tif")) == ["a", "c", "d"]
    assert "b.tif\t" in (tmp_path / "out/failures.txt").read_text()
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.tif")}
    write_tiff(masks / "b.tif", make_mask(32), make_grid(32))
    (tmp_path / "list.txt").write_text("\n".join(f"masks/{name}.tif" for name in "abcd"))
    paths = generate(run, [tmp_path / "list.txt"], tmp_path / "out")
    assert [path.stem for path in paths] == ["a", "b", "c", "d"]
    assert all(path.stat().st_mtime_ns == at for path, at in kept.items())  # not made again
    assert not (tmp_path / "out/failures.txt").exists()
    tags = synthetic_tags(load_generator(run), 0, masks / "b.tif", "")
    assert read_tags(paths[1])["MODEL_SHA256"] == tags["MODEL_SHA256"]
