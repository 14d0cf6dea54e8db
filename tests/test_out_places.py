"""Every command with an --out says at once where nothing can be written, whatever --overwrite says, and changes nothing."""

import pytest

from conftest import make_grid, make_mask, write_tiff
from orthoforge.cli import main
from saved_runs import save_run
from small_disk import small_disk

# What a command is given besides its place. Only generate looks at its inputs first: their names are those of its images.
FOLDERS = {
    "prepare": ["data", "OUT"],
    "train": ["tiny", "--data", "tiles", "--out", "OUT"],
    "evaluate": ["run", "--data", "tiles", "--out", "OUT"],
    "utility": ["run", "--data", "tiles", "--out", "OUT"],
    "forge": ["data", "--out", "OUT"],
    "realign": ["data", "--out", "OUT"],
    "grow": ["run", "data", "--out", "OUT"],
    "publish": ["run", "--out", "OUT"],
    "demo": ["--out", "OUT"],
    "generate": ["RUN", "MASK", "--out", "OUT"],
}
FILES = {
    "generate": ["RUN", "MASK", "--out", "OUT.tif"],
    "footprints": ["town.geojson", "--out", "OUT.tif"],
    "compare": ["run", "--out", "OUT.html"],
}


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    folder = tmp_path_factory.mktemp("given")
    return {"RUN": str(save_run(folder).parents[1]), "MASK": str(write_tiff(folder / "m.tif", make_mask(32), make_grid(32)))}


def refusal(command, arguments, given, out, capsys, *, overwrite):
    """The exit code and the last line on stderr."""
    words = [given.get(word, word.replace("OUT", str(out))) for word in arguments]
    code = main([command, *words, *(["--overwrite"] if overwrite and command != "train" else [])])
    return code, capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("command", FOLDERS)
def test_folders_that_cannot_be(command, given, tmp_path, capsys, overwrite):
    (tmp_path / "file").write_text("mine")
    for out, why in (
        (tmp_path / "file", "is a file; a folder is written here"),
        ("/dev/null", "is a file; a folder is written here"),
        (tmp_path / "file" / "out", f"cannot be written (Not a directory): {tmp_path / 'file'} is no folder"),
        ("/proc/orthoforge", "cannot be written (No such file or directory): /proc takes no new file"),
    ):
        code, message = refusal(command, FOLDERS[command], given, out, capsys, overwrite=overwrite)
        if command == "generate" and "is a file;" in why:
            why = f"cannot be written (Not a directory): {out} is no folder"
        assert (code, message.startswith("error: "), why in message) == (4 if "is a file;" in why else 7, True, True), message
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("command", FILES)
def test_files_that_cannot_be(command, given, tmp_path, capsys, overwrite):
    (tmp_path / "file").write_text("mine")
    suffix = FILES[command][-1].removeprefix("OUT")
    (tmp_path / f"there{suffix}").mkdir()
    for out, why in (
        (tmp_path / "there", f"there{suffix} is a folder; a file is written here"),
        (tmp_path / "file" / "out", f"cannot be written (Not a directory): {tmp_path / 'file'} is no folder"),
        ("/proc/orthoforge", "cannot be written (No such file or directory): /proc takes no new file"),
    ):
        code, message = refusal(command, FILES[command], given, out, capsys, overwrite=overwrite)
        assert (code, message.startswith("error: "), why in message) == (4 if "is a folder" in why else 7, True, True), message
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", f"there{suffix}"]


@pytest.mark.parametrize("command", [*FOLDERS, "footprints", "compare"])
def test_a_disk_that_is_only_read(command, given, tmp_path, capsys):
    with small_disk(tmp_path / "disk", 1_000_000, read_only=True) as disk:
        arguments = FOLDERS.get(command) or FILES[command]
        code, message = refusal(command, arguments, given, disk / "new" / "out", capsys, overwrite=False)
        assert code == 7
        assert f"cannot be written (Read-only file system): {disk} takes no new file. Choose a folder you may" in message
