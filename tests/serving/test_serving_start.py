"""What `serve` refuses before it listens."""

import pytest

from orthoforge.errors import CheckpointError, ConfigError, DataError, LockedError
from orthoforge.files import lock
from orthoforge.serving import serve as starting
from orthoforge.serving.serve import serve
from saved_runs import save_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return save_run(tmp_path_factory.mktemp("runs") / "town").parents[1]


@pytest.mark.parametrize(
    ("error", "words", "options"),
    [
        (ConfigError, "--queue must be above 0", {"queue": 0}),
        (ConfigError, "--rate, --cache-gb and --seed", {"rate": -1}),
        (DataError, "no such file", {"layers": ["nowhere.gpkg"]}),
        (DataError, "no such file", {"keys": "nowhere.txt"}),
        (ConfigError, "cannot be used here", {"device": "abacus"}),
    ],
)
def test_settings_that_cannot_work(run, tmp_path, error, words, options):
    with pytest.raises(error, match=words):
        serve(run, data=tmp_path / "data", **options)
    assert not (tmp_path / "data").exists()


def test_keys_that_can_be_guessed_and_files_without_any(run, tmp_path):
    for words, text in (("16 are the least", "short"), ("holds no key", "# none")):
        (tmp_path / "keys").write_text(text)
        with pytest.raises(ConfigError, match=words):
            serve(run, keys=tmp_path / "keys", data=tmp_path / "data")


def test_a_run_that_is_none_and_a_folder_of_another_server(run, tmp_path):
    with pytest.raises(CheckpointError):
        serve(tmp_path / "nowhere", data=tmp_path / "data")
    with lock(tmp_path / "data" / "server"), pytest.raises(LockedError, match="a server runs with --data"):
        serve(run, data=tmp_path / "data")


def test_runs_are_named_by_their_folders_and_numbered_where_two_are_alike(run, tmp_path):
    other = save_run(tmp_path / "town").parents[1]
    assert list(starting._generators([run, other, run / "weights" / "last"], "cpu")) == ["town", "town-2", "town-3"]
