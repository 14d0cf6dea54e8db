"""Images in the style of a place, or of a reference image: which pixels give it, what is written of it, and what is refused."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from conftest import make_grid, make_image, make_mask, write_tiff
from orthoforge.cli import main
from orthoforge.config import Recipe
from orthoforge.errors import ConfigError, DataError, OutputExistsError
from orthoforge.generation import blocks, generate, scene
from orthoforge.generation.chosen_styles import say_looks, styled
from orthoforge.geo.rasters import REFERENCE_PX, open_raster, read_image, read_tags
from orthoforge.models.noise import NoiseField
from orthoforge.trained_generator import load_generator
from saved_runs import save_run

MASK = make_mask(48)
ORIGIN = round(5_000_000 / -0.3), round(500_000 / 0.3)  # of the grid's noise


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    recipe = Recipe(name="styled", generator="modulated", generator_width=2)
    return save_run(tmp_path_factory.mktemp("run"), recipe, places=("aba", "oro")).parents[1]


@pytest.fixture(scope="module")
def generator(run):
    return load_generator(run)


@pytest.fixture
def mask_path(tmp_path):
    return write_tiff(tmp_path / "masks" / "town.tif", MASK, make_grid(48))


def pixels(path):
    with open_raster(path) as raster:
        return read_image(raster)


def levels_apart(one, other):
    return np.abs(one.astype(int) - other).mean()


def reference(size, seed=0):
    """Red at the top left, blue at the bottom right, with texture."""
    height, width = size
    image = make_image(make_mask(size, seed=seed), seed=seed).astype(int)
    image[..., 0] += np.linspace(60, -60, height * width, dtype=int).reshape(size)
    image[..., 2] -= np.linspace(60, -60, width, dtype=int)
    return np.clip(image, 0, 255).astype(np.uint8)


def test_a_place_gives_its_look_and_the_image_says_so(run, generator, tmp_path, mask_path):
    plain = pixels(generate(run, [mask_path], tmp_path / "any.tif", seed=5)[0])
    assert "STYLE" not in read_tags(tmp_path / "any.tif")
    made = {}
    for place in generator.styles:
        (path,) = generate(run, [mask_path], tmp_path / f"{place}.tif", seed=5, style=place)
        made[place] = pixels(path)
        assert np.array_equal(made[place], generator.with_style(place)(MASK, seed=5, origin=ORIGIN))
        tags = read_tags(path)
        assert tags["STYLE"] == place and "STYLE_SHA256" not in tags
        assert json.loads(path.with_suffix(".json").read_text())["properties"]["orthoforge:style"] == place
    assert levels_apart(made["aba"], made["oro"]) > 20
    assert np.array_equal(plain, generator(MASK, seed=5, origin=ORIGIN))


def test_by_name_each_mask_gets_the_look_of_the_place_that_names_it(run, generator, tmp_path, capsys):
    masks = [write_tiff(tmp_path / "masks" / f"{name}.tif", MASK, make_grid(48)) for name in ("aba_12", "oro3", "aba13")]
    made = generate(run, masks, tmp_path / "out", seed=5, style="by-name")
    for path, place in zip(made, ("aba", "oro", "aba"), strict=True):
        assert read_tags(path)["STYLE"] == place
        assert np.array_equal(pixels(path), generator.with_style(place)(MASK, seed=5, origin=ORIGIN))
    assert levels_apart(pixels(made[0]), pixels(made[1])) > 1
    assert "The seed chose it" not in capsys.readouterr().err


def test_a_table_says_the_place_of_masks_whose_names_do_not(run, tmp_path):
    masks = [write_tiff(tmp_path / "masks" / f"rf_{n}.tif", MASK, make_grid(48)) for n in (1, 2)]
    (tmp_path / "masks" / "places.csv").write_text("rf_1,oro\n*,aba\n")
    made = generate(run, masks, tmp_path / "out", style="by-name")
    assert [read_tags(path)["STYLE"] for path in made] == ["oro", "aba"]


def test_a_mask_of_another_name_is_refused_before_any_image(run, tmp_path, mask_path):
    other = write_tiff(tmp_path / "masks" / "aba_1.tif", MASK, make_grid(48))
    with pytest.raises(ConfigError, match=r"town\.tif: is not named by a place of this run, which knows aba, oro"):
        generate(run, [other, mask_path], tmp_path / "out", style="by-name")
    assert not list(tmp_path.glob("out/*.tif"))


@pytest.mark.parametrize(("style", "said"), [(None, True), ("aba", False)])
def test_several_masks_of_one_look_that_nobody_chose_are_no_surprise(run, generator, tmp_path, mask_path, capsys, style, said):
    other = write_tiff(tmp_path / "masks" / "other.tif", MASK, make_grid(48))
    generate(run, [mask_path, other], tmp_path / "out", style=style)
    told = capsys.readouterr().err
    assert (f"look: {generator.place_of(0)}, for all 2 masks. The seed chose it.\n" in told) is said
    assert ("--style PLACE   one of aba, oro\n" in told) is said
    assert max(map(len, told.splitlines()), default=0) <= 80
    generate(generator, [mask_path, other], tmp_path / "out2", style=style)  # as grow does: it has no such option
    assert "--style" not in capsys.readouterr().err


def test_each_mask_gets_a_look_of_its_own_by_seed_and_name(run, generator, tmp_path, capsys):
    masks = [write_tiff(tmp_path / "masks" / f"m{n}.tif", MASK, make_grid(48)) for n in range(4)]
    made = generate(run, masks, tmp_path / "out", seed=3, style="each")
    said, tags = capsys.readouterr().err, [read_tags(path) for path in made]
    assert {one["STYLE"] for one in tags} == {"aba", "oro"} and len({one["SEED"] for one in tags}) == 4
    for path, one in zip(made, tags, strict=True):
        assert f"{path.stem}: look of {one['STYLE']} (seed {one['SEED']})" in said
        assert np.array_equal(pixels(path), generator(MASK, seed=int(one["SEED"]), origin=ORIGIN))
    (alone,) = generate(run, masks[2:3], tmp_path / "alone", seed=3, style="each")
    assert read_tags(alone)["SEED"] == tags[2]["SEED"], "a mask's look does not depend on the others"
    assert generate(run, masks, tmp_path / "out", seed=3, style="each") == made
    assert "4 of 4 images were there already and are kept: m0.tif, m1.tif, m2.tif, …" in capsys.readouterr().err
    with pytest.raises(OutputExistsError):
        generate(run, masks, tmp_path / "out", seed=2, style="each")


@pytest.mark.parametrize("count", [2, 25])
def test_looks_that_are_all_of_one_place_are_one_sentence(generator, capsys, count):
    alike = [seed for seed in range(200) if generator.place_of(seed) == "oro"][:count]
    masks = [Path(f"m{n}.tif") for n in range(count)]
    say_looks(generator, masks, "each", alike, 1)
    assert capsys.readouterr().err == f"looks: all {count} images look like oro, each by a seed of its own (tag SEED).\n"


def test_the_place_that_a_seed_chooses_is_the_place_whose_look_it_gets(generator):
    for seed in range(8):
        bank = generator.network.styles
        bank.noise_fields = (NoiseField(seed),)
        place = generator.styles.index(generator.place_of(seed))
        assert (bank.codes[place] == bank(1).code).all(dim=1).any()


def test_variants_of_one_style_differ_in_their_noise(run, tmp_path, mask_path):
    paths = generate(run, [mask_path], tmp_path / "out", style="oro", variants=3)
    images = [pixels(path) for path in paths]
    assert [read_tags(path)["SEED"] for path in paths] == ["0", "1", "2"]
    assert {read_tags(path)["STYLE"] for path in paths} == {"oro"}
    assert all(levels_apart(one, other) > 1 for one, other in itertools.pairwise(images))


def test_a_reference_image_gives_its_style_by_its_content(run, generator, tmp_path, mask_path, capsys):
    given = reference((96, 80))
    file = write_tiff(tmp_path / "look.tif", given, make_grid((96, 80)))
    arguments = ["generate", str(run), str(mask_path), "--out", str(tmp_path / "out.tif"), "--style", str(file)]
    assert main(arguments) == 0
    assert "style of look.tif: all of it" in capsys.readouterr().err
    image = pixels(tmp_path / "out.tif")
    assert np.array_equal(image, generator.with_style(given)(MASK, origin=ORIGIN))
    assert not np.array_equal(image, generator.with_style(np.full_like(given, 250))(MASK, origin=ORIGIN))
    tags = read_tags(tmp_path / "out.tif")
    assert tags["STYLE"] == "look.tif" and len(tags["STYLE_SHA256"]) == 64
    properties = json.loads((tmp_path / "out.json").read_text())["properties"]
    assert properties["orthoforge:style_sha256"] == tags["STYLE_SHA256"]


def test_the_same_masks_in_another_style_are_other_images(run, tmp_path, mask_path):
    other = write_tiff(mask_path.with_name("village.tif"), MASK, make_grid(48))
    file = write_tiff(tmp_path / "look.tif", reference((64, 64)))
    out = tmp_path / "out"
    generate(run, [mask_path, other], out, style=file)
    kept = (out / "town.tif").stat().st_mtime_ns
    file.rename(tmp_path / "renamed.tif")
    generate(run, [mask_path, other], out, style=tmp_path / "renamed.tif")  # its content counts, not its name
    assert (out / "town.tif").stat().st_mtime_ns == kept
    write_tiff(file, reference((64, 64), seed=1))
    for style in (file, "aba", None):
        with pytest.raises(DataError, match="2 of 2 masks failed") as error:
            generate(run, [mask_path, other], out, style=style)
        assert "Pass --overwrite" in str(error.value)
    with pytest.raises(OutputExistsError):
        generate(run, [mask_path], out / "town.tif", style="aba")


def test_a_generator_that_was_given_a_style_keeps_it(generator, tmp_path, mask_path):
    (placed,) = generate(generator.with_style("oro"), [mask_path], tmp_path / "placed.tif")
    assert read_tags(placed)["STYLE"] == "oro"
    requests = set()
    for seed in (0, 1):
        (path,) = generate(generator.with_style(reference((64, 64), seed)), [mask_path], tmp_path / f"{seed}.tif")
        assert read_tags(path)["STYLE"] == "reference image"
        requests.add(read_tags(path)["REQUEST_SHA256"])
    (again,) = generate(generator.with_style("oro"), [mask_path], tmp_path / "again.tif", style="aba")
    assert read_tags(again)["STYLE"] == "aba"
    assert len(requests) == 2


def test_a_name_wins_over_a_file_of_that_name(generator, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "aba").write_bytes(b"no raster")
    assert styled(generator, "aba")[1].tags == {"STYLE": "aba"}


def test_of_a_large_reference_the_middle_is_looked_at(generator, tmp_path, capsys):
    given = reference((1300, 1200))
    file = write_tiff(tmp_path / "look.tif", given, make_grid((1300, 1200), gsd_m=1.0))
    found = styled(generator, file)[0](MASK)
    assert np.array_equal(found, generator.with_style(given[138:-138, 88:-88])(MASK))
    said = capsys.readouterr().err
    assert f"{REFERENCE_PX}×{REFERENCE_PX} of its 1200×1300 px" in said
    assert "its pixels are 1 m, the run's 0.3 m" in said


@pytest.mark.parametrize("how", ["alpha", "declared", "mask"])
def test_what_has_no_data_is_left_out(generator, tmp_path, how):
    given = reference((160, 200))
    given[given == 0] = 1
    empty = np.zeros((160, 200), bool)
    empty[:, :70] = empty[:30, :] = True  # what is left, by cells of 16 px: 8 of them from row 32 and 7 from column 80
    stray = (100, 150)  # a black pixel of a roof
    given[empty] = given[stray] = 0
    file = tmp_path / "look.tif"
    if how == "alpha":
        file = tmp_path / "look.png"
        Image.fromarray(np.dstack([given, np.where(empty, 0, 255).astype(np.uint8)])).save(file)
    elif how == "declared":
        write_tiff(file, given, nodata=0)
    else:
        write_tiff(file, given, make_grid((160, 200)))
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(file, "r+") as dataset:
            dataset.write_mask(~empty)
    found = styled(generator, file)[0](MASK)
    assert np.array_equal(found, generator.with_style(given[32:144, 80:192])(MASK))
    assert not np.array_equal(found, generator.with_style(given[48:160, 80:192])(MASK))


def test_styles_that_cannot_be(run, generator, tmp_path, mask_path, monkeypatch):
    plain = tmp_path / "plain"
    save_run(plain)
    small = write_tiff(tmp_path / "small.tif", reference((31, 200)))
    void = write_tiff(tmp_path / "void.tif", np.zeros((100, 100, 3), np.uint8), nodata=0)
    deep = write_tiff(tmp_path / "deep.tif", np.zeros((100, 100, 3), np.uint16))
    monkeypatch.setattr("orthoforge.generation.batch._generate_mask", None)  # said before the network runs
    for source, style, error, message in (
        (run, "nowhere", ConfigError, r"no style 'nowhere'.* knows aba, oro, nor the file of a reference image"),
        (plain, "aba", ConfigError, "the network of small has no styles"),
        (plain, small, ConfigError, "the network of small has no styles"),
        (run, small, DataError, r"small\.tif: has 200×31 px; a reference image needs 32 px"),
        (run, void, DataError, r"void\.tif: has 0×0 px with data in its middle; .* cut it out where there is data"),
        (run, deep, DataError, r"deep\.tif: image is uint16; bands of uint8 are expected"),
        (run, tmp_path, DataError, "is a folder"),
    ):
        with pytest.raises(error, match=message):
            generate(source, [mask_path], tmp_path / "out.tif", style=style)
    assert not (tmp_path / "out.tif").exists()


def test_a_scene_of_blocks_has_one_style_and_another_style_takes_none_of_them(run, tmp_path, monkeypatch):
    mask = write_tiff(tmp_path / "town.tif", make_mask((200, 240)), make_grid((200, 240)))
    file = write_tiff(tmp_path / "look.tif", reference((64, 64)))
    (whole,) = generate(run, [mask], tmp_path / "whole.tif", style=file)
    monkeypatch.setattr(scene, "block_side_px", lambda *_: 128)
    made, make = [], blocks._make

    def two_of_them(*arguments):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(arguments)
        return make(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(blocks, "_make", two_of_them)
        with pytest.raises(KeyboardInterrupt):
            generate(run, [mask], tmp_path / "out.tif", style="aba")
    windows = []
    monkeypatch.setattr(blocks, "_make", lambda *arguments: (windows.append(arguments[1]), make(*arguments))[1])
    (path,) = generate(run, [mask], tmp_path / "out.tif", style=file, device="cpu,cpu")
    assert len(windows) == 4
    assert np.abs(pixels(path).astype(int) - pixels(whole)).max() <= 1
