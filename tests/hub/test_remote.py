"""The Hugging Face hub: its own client does everything but the calls that leave this machine."""

import builtins
import shutil
import sys
from pathlib import Path

import httpx2
import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import constants, errors
from huggingface_hub.utils import filter_repo_objects

from orthoforge.checkpoints import CONFIG, MODEL
from orthoforge.cli import main
from orthoforge.errors import CheckpointError, ConfigError, ResourceError
from orthoforge.hub import publish, push_to_hub, save_pretrained
from orthoforge.hub.remote import FILES
from orthoforge.trained_generator import load_generator
from test_checkpoints import contents, save_run

MASK = np.eye(20, dtype=bool)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "run"
    save_run(folder, step=7)
    return folder


@pytest.fixture
def remote(tmp_path, monkeypatch):
    """A folder in place of the hub: OWNER/NAME/REVISION."""
    root = tmp_path / "remote"

    def create_repo(self, repo_id, *, repo_type, private, exist_ok):
        assert exist_ok and repo_type == "model" and not private
        (root / repo_id / "main").mkdir(parents=True, exist_ok=True)
        return f"https://hub.example/{repo_id}"

    def upload_folder(self, *, repo_id, folder_path, allow_patterns, commit_message):
        assert "orthoforge" in commit_message
        for name in filter_repo_objects(contents(Path(folder_path)), allow_patterns=allow_patterns):
            shutil.copy(f"{folder_path}/{name}", root / repo_id / "main" / name)

    def snapshot_download(repo_id, *, revision, allow_patterns, library_name, library_version):
        kept = root / repo_id / (revision or "main")
        if not kept.parent.exists():
            raise failure(errors.RepositoryNotFoundError, 404)
        if not kept.exists():
            raise failure(errors.RevisionNotFoundError, 404)
        cache = tmp_path / "cache" / repo_id / kept.name
        cache.mkdir(parents=True, exist_ok=True)
        for name in filter_repo_objects(contents(kept), allow_patterns=allow_patterns):
            shutil.copy(kept / name, cache / name)
        return str(cache)

    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", create_repo)
    monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", upload_folder)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return root


def failure(kind, status):
    response = httpx2.Response(status, request=httpx2.Request("GET", "https://hub.example/x"))
    return kind(f"{status} Client Error.\n\nSorry", response=response)


def test_up_and_down_it_stays_the_same(run, remote, tmp_path):
    folder = save_pretrained(run, tmp_path / "town")
    (folder / "notes.txt").write_text("not for others")
    assert push_to_hub(folder, "somebody/town") == "https://hub.example/somebody/town"
    assert sorted(contents(remote / "somebody" / "town" / "main")) == sorted(FILES)
    back = load_generator("somebody/town")
    assert back.sha256 == load_generator(folder).sha256
    assert np.array_equal(back(MASK), load_generator(folder)(MASK))


def test_publish_with_push_writes_the_repository_on_the_card(run, remote, tmp_path, capsys):
    assert main(["publish", str(run), "--out", str(tmp_path / "town"), "--push", "somebody/town"]) == 0
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / "town"), "uploaded to somebody/town"]
    card = (remote / "somebody" / "town" / "main" / "README.md").read_text(encoding="utf-8")
    assert 'from_pretrained("somebody/town")' in card


def test_a_revision_is_taken(run, remote, tmp_path):
    save_run(tmp_path / "later", step=8)
    publish(run, tmp_path / "town", push="somebody/town")
    shutil.copytree(remote / "somebody/town/main", remote / "somebody/town/v1")
    publish(tmp_path / "later", tmp_path / "newer", push="somebody/town")
    assert load_generator("somebody/town").step == 8
    assert load_generator("somebody/town", revision="v1").step == 7
    with pytest.raises(CheckpointError, match="no such revision"):
        load_generator("somebody/town", revision="v2")


def test_a_folder_of_that_name_comes_before_the_hub(run, remote, tmp_path):
    save_run(tmp_path / "later", step=8)
    publish(run, tmp_path / "town", push="somebody/town")
    with pytest.raises(CheckpointError, match="no checkpoint here"):
        load_generator(Path("somebody/town"))  # a path is a place here
    save_pretrained(tmp_path / "later", tmp_path / "here" / "somebody" / "town")
    assert load_generator("somebody/town").step == 8


def test_what_is_damaged_or_not_ours_neither_goes_up_nor_comes_down(run, remote, tmp_path):
    folder = publish(run, tmp_path / "town", push="somebody/town")
    payload = bytearray((folder / MODEL).read_bytes())
    payload[-1] ^= 1
    (folder / MODEL).write_bytes(payload)
    with pytest.raises(CheckpointError, match="its checksum does not fit"):
        push_to_hub(folder, "somebody/other")
    assert not (remote / "somebody" / "other").exists()
    (remote / "somebody/town/main" / MODEL).write_bytes(payload)
    with pytest.raises(CheckpointError, match="its checksum does not fit"):
        load_generator("somebody/town")
    (remote / "somebody/bert/main").mkdir(parents=True)
    (remote / "somebody/bert/main" / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(CheckpointError, match=f"somebody/bert on the Hugging Face hub holds no {CONFIG}"):
        load_generator("somebody/bert")


def test_a_repository_that_is_not_there(remote):
    with pytest.raises(CheckpointError, match="no such folder here, and the Hugging Face hub shows no repository of that name"):
        load_generator("runs/frist")


@pytest.mark.parametrize(
    ("status", "kind", "words"), [(403, ConfigError, "hf auth login"), (500, ResourceError, "Try again later")]
)
def test_what_the_hub_answers_is_said_in_a_line(run, remote, tmp_path, monkeypatch, status, kind, words):
    def refuse(*_, **__):
        raise failure(errors.HfHubHTTPError, status)

    monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", refuse)
    with pytest.raises(kind, match=rf"somebody/town: the Hugging Face hub .*{status} Client Error\).*{words}") as caught:
        publish(run, tmp_path / "town", push="somebody/town")
    assert "\n" not in str(caught.value)
    assert load_generator(tmp_path / "town").step == 7


def test_a_hub_that_cannot_be_reached(run, tmp_path, monkeypatch):
    # The client itself, against a port of this machine where nobody listens.
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    for call in (lambda: load_generator("somebody/town"), lambda: publish(run, tmp_path / "town", push="somebody/town")):
        with pytest.raises(ResourceError, match=r"somebody/town: the Hugging Face hub cannot be reached") as caught:
            call()
        assert "\n" not in str(caught.value)


def test_without_the_extra_its_name_is_said_and_nothing_written(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ConfigError, match=r"somebody/town: no such folder here.*pip install 'orthoforge\[hub\]'"):
        load_generator("somebody/town")
    with pytest.raises(ConfigError, match=r"uploading to somebody/town needs.*pip install 'orthoforge\[hub\]'"):
        publish(run, tmp_path / "town", push="somebody/town")
    assert list(tmp_path.iterdir()) == []
    assert load_generator(publish(run, tmp_path / "town")).step == 7


def test_the_client_is_imported_only_when_asked_for(run, tmp_path, monkeypatch):
    imported = []
    real = builtins.__import__

    def note(name, *rest, **options):
        imported.append(name)
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", note)
    load_generator(publish(run, tmp_path / "town"))
    assert not [name for name in imported if name.startswith("huggingface_hub")]


@pytest.mark.parametrize("name", ["town", "a/b/c", "/town", "somebody/", "../town", "some body/town"])
def test_other_names_never_reach_the_hub(name, run, remote, tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint here"):
        load_generator(name)
    with pytest.raises(ConfigError, match="OWNER/NAME"):
        publish(run, tmp_path / "town", push=name)
    assert not (tmp_path / "town").exists()
