"""The command line: what it prints, where, and with which exit code."""

import dataclasses
import inspect

import pytest
import yaml

import orthoforge
from conftest import make_dataset, make_grid, make_mask, write_tiff
from orthoforge import cli, errors
from orthoforge.cli import COMMANDS, GOES_ON, main
from orthoforge.config import FIELD_NAMES, load_recipe, recipe_names, recipe_values
from orthoforge.errors import CODES, OrthoforgeError, exit_code, http_status
from orthoforge.forging.places import real_masks
from orthoforge.geo.cog import write_raster
from orthoforge.geo.pixel_sizes import PixelSizes
from orthoforge.geo.rasters import open_raster, read_image, read_mask
from orthoforge.pretrained import bundled_names
from orthoforge.run_files import write_args
from orthoforge.runs import Run
from orthoforge.tiles.material import MATERIAL_GSD_M
from orthoforge.training import session


def run(*words):
    """Exit code of the command line, whether it returns or raises it (the parser does)."""
    try:
        return main([str(word) for word in words])
    except SystemExit as stopped:
        return stopped.code


def help_of(command, capsys):
    """Without the frame and the lines that it is printed in."""
    assert run(command, "--help") == 0
    return " ".join(capsys.readouterr().out.replace("│", " ").split())


def test_every_error_has_an_exit_code_of_its_own_and_a_http_status():
    kinds = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, OrthoforgeError)]
    assert len({exit_code(kind("x")) for kind in CODES}) == len(CODES)
    assert all(exit_code(kind("x")) > 0 and 400 <= http_status(kind("x")) < 600 for kind in kinds)
    assert exit_code(errors.GridError("x")) == exit_code(errors.DataError("x"))  # no row of its own: its parent's


def test_an_error_is_one_line_on_stderr_after_that_of_the_device(capsys, tmp_path):
    assert run("generate", tmp_path / "run", tmp_path / "mask.tif", "--out", tmp_path / "out.tif") == 6
    out, err = capsys.readouterr()
    assert out == ""
    device, error = err.splitlines()
    assert device.startswith("device: cpu, ")
    assert error.startswith("error: ")


def test_check_exits_0_on_sound_pairs_and_1_on_a_fault(capsys, tmp_path):
    make_dataset(tmp_path / "data", ["a1", "a2"])
    assert run("check", tmp_path / "data") == 0
    (tmp_path / "data" / "masks" / "a2.tif").unlink()
    capsys.readouterr()
    assert run("check", tmp_path / "data") == 1
    assert "a2" in capsys.readouterr().out


def test_prepare_train_generate(capsys, tmp_path):
    make_dataset(tmp_path / "data", [f"town{n}" for n in range(10)], 64)
    assert run("prepare", tmp_path / "data", tmp_path / "tiles", "--size", 48, "--split", "digits") == 0
    words = ["train", "tiny", "--data", tmp_path / "tiles", "--out", tmp_path / "run", "--crop-px", 32, "--epochs", 1]
    small = ["--decay-epochs", 0, "--generator-width", 4, "--discriminator_width", 4, "--batch-size", 4, "--crops-per-tile", 1]
    assert run(*words, *small) == 0
    assert "epoch 1/1" in capsys.readouterr().out
    assert run(*words, *small) == 4  # the run is there
    assert "--resume" in capsys.readouterr().err
    assert run("train", "--resume", "-o", tmp_path / "run", "--epochs", 2) == 0
    assert "changed since the run began: epochs" in (out := capsys.readouterr().out) and "epoch 2/2" in out
    mask = write_tiff(tmp_path / "mask.tif", make_mask(40), make_grid(40))
    words = ["generate", tmp_path / "run", mask, "--out", tmp_path / "image.tif", "--seed", 1]
    capsys.readouterr()
    assert run(*words) == 3
    assert "its pixels are 0.3 m, the run was trained at 0.4 m" in capsys.readouterr().err
    assert run(*words, "--resample") == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "image.tif")


def test_footprints_both_ways(capsys, tmp_path):
    mask = write_tiff(tmp_path / "mask.tif", make_mask(40), make_grid(40))
    assert run("footprints", mask, "--out", tmp_path / "town.geojson") == 0
    assert run("footprints", tmp_path / "town.geojson", "--out", tmp_path / "again.tif", "--like", mask) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "town.geojson"), str(tmp_path / "again.tif")]
    with open_raster(tmp_path / "again.tif") as raster:
        assert (read_mask(raster) == make_mask(40)).mean() > 0.97


def test_print_config_shows_the_resolved_recipe_and_stops(capsys):
    assert run("train", "baseline", "--learning-rate", "1e-3", "--norm", "instance", "--print-config") == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert tuple(shown) == FIELD_NAMES
    assert (shown["learning_rate"], shown["norm"], shown["lambda_l1"]) == (1e-3, "instance", 100)


def test_the_recipe_may_stand_behind_its_options(capsys):
    assert run("train", "--lambda-canvas", "7", "orthoforge-material", "--print-config") == 0  # which other recipes refuse
    assert yaml.safe_load(capsys.readouterr().out)["lambda_canvas"] == 7


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "basline", "--print-config"], "did you mean `baseline`?"),
        (["train", "baseline", "--epoch", "3"], "--epochs"),
        (["train", "baseline", "--norm", "layer"], "layer"),
        (["train", "baseline", "--crop-px", "130", "--print-config"], "128 or 132"),
        (["train", "baseline"], "error: --data is needed"),
        (["train", "nowhere.yaml"], "nowhere.yaml: no such recipe file"),
        (["prepair"], "prepare"),
    ],
)
def test_a_slip_of_the_hand_is_answered_with_what_was_meant(capsys, words, message):
    code = run(*words)
    assert code not in (0, None)
    assert message in capsys.readouterr().err + str(code)


@pytest.mark.parametrize("command", ["generate", "grow", "evaluate", "utility", "compare", "publish"])
def test_what_takes_a_generator_names_all_that_is_one(command, capsys):
    text = help_of(command, capsys)
    for words in ("un folder", "RUN/weights/best", "published folder", *bundled_names()):
        assert words in text, words


def test_generate_says_which_images_are_kept(capsys):
    text = help_of("generate", capsys)
    assert "Of several images the finished ones are kept; a single one that is finished is an error without --overwrite" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_interrupted_a_command_says_whether_it_goes_on_as_its_help_does(command, capsys, monkeypatch):
    keeps = any(words in help_of(command, capsys) for words in ("run again, it goes on", "run again, finished"))
    assert keeps == (command in GOES_ON)

    def stopped(argv):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_run", stopped)
    assert run(command) == 130
    assert capsys.readouterr().err == ("interrupted; the same command goes on\n" if keeps else "interrupted\n")
    assert run(command, "--overwrite") == 130
    assert capsys.readouterr().err == "interrupted\n", "that would begin anew"


def test_recipes_lists_them_all(capsys):
    assert run("recipes") == 0
    lines = capsys.readouterr().out.splitlines()
    listed = [line for line in lines if line.startswith("  ")]
    assert sorted(line.split()[0] for line in listed) == recipe_names()
    assert all(len(line.split()) > 3 for line in listed)
    assert lines.index("Start from one of these:") == 0 and lines.index("The others:") == 5
    assert [line.split()[0] for line in lines[1:4]] == ["orthoforge-xs", "orthoforge-s", "baseline"]


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in ("train", "recipes", "doctor")])
def test_a_command_has_the_defaults_of_its_call(command):
    call = inspect.signature(getattr(orthoforge, command)).parameters
    for name, parameter in inspect.signature(COMMANDS[command]).parameters.items():
        if name in call and parameter.default is not inspect.Parameter.empty:
            assert parameter.default == call[name].default, f"{command} --{name}"


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["--schedule", "plateau", "resize-conv"], "resize-conv"),  # `plateau` is a recipe, too
        (["--out", "baseline", "high-5x5"], "high-5x5"),
        (["high-5x5", "--out", "baseline"], "high-5x5"),
    ],
)
def test_an_options_value_is_not_taken_for_the_recipe(capsys, words, name):
    assert run("train", *words, "--print-config") == 0
    values = yaml.safe_load(capsys.readouterr().out)
    assert values["name"] == name
    expected = load_recipe(name, **({"schedule": "plateau"} if "plateau" in words else {}))
    assert values == recipe_values(expected)


@pytest.fixture
def begun(tmp_path, monkeypatch):
    """A run folder with settings alone, its tiles, and what ``train`` is called with."""
    (tmp_path / "tiles").mkdir()
    values = recipe_values(load_recipe("high-5x5", learning_rate=3e-4))
    write_args(tmp_path / "run", values | {"run": {"data": str(tmp_path / "tiles")}})
    calls = []
    monkeypatch.setattr(session, "train", lambda *words, **options: calls.append((words, options)))
    return tmp_path / "run", calls


def test_a_resumed_run_knows_its_recipe_and_its_tiles(begun, tmp_path):
    folder, calls = begun
    moved = tmp_path / "moved"
    assert run("train", "--resume", "--out", folder) == 0
    assert run("train", "--out", folder, "--panels-every", 7, "--data", moved, "--resume") == 0
    assert run("train", "baseline", "--out", folder, "--resume") == 0
    own = load_recipe("high-5x5", learning_rate=3e-4)
    expected = [
        (own, tmp_path / "tiles"),
        (dataclasses.replace(own, panels_every=7), moved),
        (load_recipe("baseline"), tmp_path / "tiles"),
    ]
    assert [words for words, _ in calls] == [(*each, folder) for each in expected]
    assert all(options["resume"] for _, options in calls)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "args.yaml").unlink(), "args.yaml: is not there, so the run's recipe and tiles are not known"),
        (lambda folder: write_args(folder, recipe_values(load_recipe("tiny"))), "does not say which tiles the run is trained on"),
        (lambda folder: (folder.parent / "tiles").rmdir(), "Name the folder where they are now with --data"),
    ],
)
def test_what_a_run_to_go_on_with_does_not_say_is_asked_for(begun, capsys, spoil, message):
    folder, calls = begun
    spoil(folder)
    assert run("train", "--resume", "--out", folder) == 2
    assert message in capsys.readouterr().err and calls == []


def test_resume_alone_asks_for_the_run(capsys):
    assert run("train", "--resume") == 2
    assert "--resume needs --out" in capsys.readouterr().err


@pytest.mark.parametrize("command", [name for name in COMMANDS if "out" in inspect.signature(COMMANDS[name]).parameters])
def test_out_has_a_short_form(command, capsys):
    assert "-o PATH, --out PATH" in help_of(command, capsys).replace("{None}|", "")


def test_help_tells_of_the_version(capsys):
    assert run("--help") == 0
    assert "`orthoforge --version` prints the version" in " ".join(capsys.readouterr().out.split())


def test_a_shell_gets_its_completion(capsys):
    assert run("--tyro-print-completion", "bash") in (0, None)
    script = capsys.readouterr().out
    assert "complete " in script and all(name in script for name in (*COMMANDS, "--min-building"))


def test_the_size_of_pixels_is_stated_alike_in_every_command(capsys):
    said = {name: parser for name in COMMANDS if "--pixel-size" in (parser := help_of(name, capsys))}
    assert set(said) == {"check", "prepare", "realign", "forge", "generate", "grow"}
    assert len({text[text.index("--pixel-size") :].split(" (default")[0] for text in said.values()}) == 1
    assert all("a table pixel_size.csv beside the files, or one folder above, is used" in text for text in said.values())


@pytest.mark.parametrize("home", [".", "images", "masks"])
def test_a_table_of_pixel_sizes_is_found_by_every_command(capsys, tmp_path, home):
    """Beside the files, or one folder above."""
    data = make_dataset(tmp_path / "data", [f"a{number}" for number in range(8)], 64, crs=None)
    (data / home / "pixel_size.csv").write_text("*,0.5\n")
    assert run("check", data) == 0
    assert " 0.50 " in capsys.readouterr().out
    assert run("prepare", data, tmp_path / "tiles", "--gsd", 0.5, "--size", 32) == 0
    for homes in (real_masks(data).homes, real_masks(data / "masks").homes if home != "images" else (data / home,)):
        assert PixelSizes.stated(None, *homes).rules == (("*", 0.5),)


@pytest.mark.parametrize(("gsd", "fits"), [(MATERIAL_GSD_M, True), (0.6, False)])
def test_prepare_names_the_commands_that_may_come_next(capsys, tmp_path, gsd, fits):
    data, tiles = make_dataset(tmp_path / "data", ["a1", "a2", "a3"], 128), tmp_path / "tiles"
    assert run("prepare", data, tiles, "--gsd", gsd, "--size", 32) == 0
    said = capsys.readouterr().out
    assert f"next: orthoforge train orthoforge-s --data {tiles} --out runs/first\n" in said
    assert (f"orthoforge forge {tiles} --out forged, then\n" in said) is fits
    way = f"orthoforge generate orthoforge-material forged/masks --out images --material-from {tiles} --style each --keep-mask\n"
    assert (way in said) is fits
    assert Run.open("orthoforge-material").state.tiles.gsd_m == MATERIAL_GSD_M


def synthetic(path):
    """Write the image anew, with the tag of one that was made."""
    with open_raster(path) as raster:
        pixels, grid = read_image(raster), raster.grid
    write_raster(path, pixels, grid, tags={"SYNTHETIC": "YES"}, overwrite=True)


def test_prepare_offers_no_material_of_synthetic_images(capsys, tmp_path):
    data = make_dataset(tmp_path / "data", ["a1", "a2", "a3"], 128)
    synthetic(data / "images" / "a3.tif")
    assert run("prepare", data, tmp_path / "grown", "--gsd", 0.3, "--size", 32) == 0
    said = capsys.readouterr().out
    assert "next: orthoforge train orthoforge-s" in said and "--material-from" not in said
    for name in ("a1", "a2"):
        synthetic(data / "images" / f"{name}.tif")
    assert run("prepare", data, tmp_path / "made", "--gsd", 0.3, "--size", 32) == 0
    assert f"next: orthoforge utility {tmp_path / 'made'} --data REAL-TILES --out useful\n" in capsys.readouterr().out


def test_a_missing_pixel_size_is_refused_in_the_same_words(capsys, tmp_path):
    data = make_dataset(tmp_path / "data", [f"a{number}" for number in range(8)], 64, crs=None)
    way_out = "State it with --pixel-size METRES, as in --pixel-size 0.3, or in a table pixel_size.csv beside the files."
    run("check", data)
    assert way_out in " ".join(capsys.readouterr().out.split())
    assert run("prepare", data, tmp_path / "tiles", "--gsd", 0.5, "--size", 32) == 3
    assert way_out in capsys.readouterr().err
