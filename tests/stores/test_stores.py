"""Scenes from an object store and files to it: S3 as moto serves it, on this machine."""

import hashlib
import socket
import urllib.request
from pathlib import Path

import pytest

from conftest import make_dataset, make_grid, make_mask, write_tiff
from orthoforge.cli import main
from orthoforge.errors import ConfigError, DataError, OutputExistsError, ResourceError
from orthoforge.generation import batch
from orthoforge.geo.rasters import read_tags
from orthoforge.stores import Stores, address_of, client, fetching, sending
from orthoforge.stores.record import Record
from saved_runs import save_run

moto_server = pytest.importorskip("moto.server", reason="moto serves S3: pip install 'orthoforge[dev]'")
SECRET = "a-secret-that-nobody-may-see"
KEY_ID = "AKIAKNOWNTONOBODY"


@pytest.fixture(scope="module")
def endpoint():
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint, monkeypatch, tmp_path):
    """A new bucket, and the environment that leads to it."""
    name = f"b-{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:20]}"
    said = {
        "AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true", "AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1", "ORTHOFORGE_CACHE": str(tmp_path / "cache"),
    }  # fmt: skip
    for variable, value in said.items():
        monkeypatch.setenv(variable, value)
    ask(endpoint, f"/{name}")
    return Bucket(name)


class Bucket:
    def __init__(self, name: str) -> None:
        self.name = name
        self.client = client.client_of(address_of(f"s3://{name}"))

    def __str__(self) -> str:
        return f"s3://{self.name}"

    def fill(self, folder: Path, prefix: str) -> None:
        for path in folder.rglob("*"):
            if path.is_file():
                self.client.put(f"{prefix}/{path.relative_to(folder).as_posix()}", path.read_bytes())

    def content(self, prefix: str) -> dict[str, bytes]:
        found = self.client.list(prefix).collect()
        return {one["path"].removeprefix(prefix).strip("/"): bytes(self.client.get(one["path"]).bytes()) for one in found}


def ask(endpoint, path, data=b""):
    with urllib.request.urlopen(urllib.request.Request(endpoint + path, data, method="PUT")) as answer:
        answer.read()


def content(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in files
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }


@pytest.mark.parametrize(
    ("given", "is_read_as"),
    [
        ("s3://bucket/a/b.tif", "s3://bucket/a/b.tif"), ("s3://bucket/a/", "s3://bucket/a"), ("S3://bucket", "s3://bucket"),
        (Path("gs://bucket/town"), "gs://bucket/town"), ("az://box/x", "az://box/x"), ("https://example.org/a.tif", "https://example.org/a.tif"),
        ("town.tif", None), ("C:/data", None), ("/data/s3/x", None), (None, None),
    ],
)  # fmt: skip
def test_addresses(given, is_read_as):
    found = address_of(given)
    assert (None if found is None else str(found)) == is_read_as


@pytest.mark.parametrize(
    "given",
    [
        f"https://me:{SECRET}@example.org/a.tif", f"s3://{SECRET}@bucket/a", f"https://example.org/a.tif?X-Amz-Signature={SECRET}",
        "s3://bucket/../other/a.tif", "s3://bucket/a//b", "s3://bucket/a\\b", "s3://", "http://example.org/a.tif",
        "file:///etc/passwd", "memory://a",
    ],
)  # fmt: skip
def test_what_is_no_address_of_an_object_is_refused_and_no_secret_repeated(given):
    with pytest.raises(ConfigError) as refused:
        address_of(given)
    assert SECRET not in str(refused.value)


def test_an_address_of_the_web_may_be_one_that_a_browser_shows():
    assert address_of("https://example.org/my%20town/%C3%BC.tif").key == "my town/ü.tif"
    assert address_of("s3://bucket/100%25.tif").key == "100%25.tif"
    with pytest.raises(ConfigError):
        address_of("https://example.org/%2e%2e/a.tif")


def test_tiles_from_and_to_a_bucket_are_those_of_this_machine(bucket, tmp_path, capfd):
    data = make_dataset(tmp_path / "data", ["austin1", "austin7", "austin9"], 64)
    bucket.fill(data, "data")
    options = ["--gsd", "0.3", "--size", "32", "--split", "digits"]
    assert main(["prepare", str(data), str(tmp_path / "tiles"), *options]) == 0
    assert main(["prepare", f"{bucket}/data", f"{bucket}/cut/tiles", *options]) == 0
    assert bucket.content("cut/tiles") == content(tmp_path / "tiles") != {}
    assert main(["check", f"{bucket}/data"]) == 0
    assert not list((tmp_path / "cache" / "stores").iterdir()), "nothing is left here"
    said = capfd.readouterr()
    assert not any(secret in text for secret in (SECRET, KEY_ID) for text in (said.out, said.err))


def test_an_image_from_and_to_a_bucket(bucket, tmp_path, capsys):
    mask = write_tiff(tmp_path / "town.tif", make_mask(64), make_grid(64))
    bucket.client.put("masks/town.tif", mask.read_bytes())
    run = str(save_run(tmp_path / "run"))
    assert main(["generate", run, str(mask), "--out", str(tmp_path / "image.tif"), "--seed", "3"]) == 0
    to_bucket = ["generate", run, f"{bucket}/masks/town.tif", "--out", f"{bucket}/images/image.tif", "--seed", "3"]
    assert main(to_bucket) == 0
    assert f"{bucket}/images/image.tif\n" in capsys.readouterr().out
    made = bucket.content("images")
    assert set(made) >= {"image.tif", "image.json"}
    assert made["image.tif"] == (tmp_path / "image.tif").read_bytes()
    assert not any(secret.encode() in data for data in made.values() for secret in (SECRET, KEY_ID, str(tmp_path / "cache")))
    assert main(to_bucket) == 4
    assert "exists. Pass --overwrite" in capsys.readouterr().err
    assert main([*to_bucket, "--overwrite", "--variants", "1"]) == 0
    (tmp_path / "again.tif").write_bytes(bucket.content("images")["image.tif"])
    assert read_tags(tmp_path / "again.tif")["MASK"] == "town.tif"


@pytest.mark.parametrize("out", ["images/image.tif", "images"])
def test_an_image_that_could_not_be_sent_is_sent_by_the_same_command(bucket, tmp_path, capsys, monkeypatch, out):
    bucket.client.put("masks/image.tif", write_tiff(tmp_path / "town.tif", make_mask(64), make_grid(64)).read_bytes())
    command = ["generate", str(save_run(tmp_path / "run")), f"{bucket}/masks/image.tif", "--out", f"{bucket}/{out}", "--seed"]
    with monkeypatch.context() as patch:
        patch.setattr(sending, "client_of", lambda address: Failing(client.client_of(address), "images/image.tif"))
        assert main([*command, "3"]) == 7
    assert set(bucket.content("images")) == {"image.json"}
    with monkeypatch.context() as patch:
        patch.setattr(batch, "_write_scene", None)  # would fail if it were called
        capsys.readouterr()
        assert main([*command, "4"]) == 4
        assert "exists, made with another seed. Pass --overwrite" in capsys.readouterr().err
        assert main([*command, "3"]) == 0
    assert "1 image was there already and is kept" in capsys.readouterr().err
    assert set(bucket.content("images")) == {"image.json", "image.tif"}
    assert not list((tmp_path / "cache" / "stores").iterdir())


class Failing:
    """A client that cannot put one of its objects."""

    def __init__(self, inner, key):
        self.head, self.list, self._inner, self._key = inner.head, inner.list, inner, key

    def put(self, key, file):
        if key == self._key:
            raise ConnectionResetError("gone")
        return self._inner.put(key, file)


def test_errors_name_the_address(bucket, tmp_path, capsys):
    bucket.client.put("data/images/a1.tif", b"")
    bucket.client.put("data/masks/a1.tif", b"")
    assert main(["prepare", f"{bucket}/data", str(tmp_path / "tiles")]) == 3
    assert f"{bucket}/data/" in (said := capsys.readouterr().err) and "cache" not in said
    assert main(["prepare", f"{bucket}/nothing", str(tmp_path / "tiles")]) == 3
    assert f"{bucket}/nothing: no such object" in capsys.readouterr().err


def test_an_interrupted_fetch_goes_on_and_a_changed_object_comes_again(bucket, tmp_path, monkeypatch):
    for number in range(6):
        bucket.client.put(f"data/{number}.bin", bytes([number]) * 1000)
    brought = []

    def stopping(address):
        real = client.client_of(address)

        class Client:
            head, list = real.head, real.list

            def get(self, key):
                if len(brought) == 3:
                    raise OSError(f"reset by {SECRET}")
                brought.append(key)
                return real.get(key)

        return Client()

    monkeypatch.setattr(fetching, "_AT_ONCE", 1)
    with monkeypatch.context() as patch:
        patch.setattr(fetching, "client_of", stopping)
        with pytest.raises(ResourceError, match="cannot be used") as failed, Stores() as stores:
            stores.read(Path(f"{bucket}/data"))
    assert SECRET not in str(failed.value)
    here = next((tmp_path / "cache" / "stores").glob("*/files/data"))
    assert len(list(here.iterdir())) == 3 and not list(here.glob(".*"))
    bucket.client.put("data/0.bin", b"x" * 1000)
    (here / "1.bin").write_bytes(b"short")
    with Stores() as stores:
        folder = stores.read(Path(f"{bucket}/data"))
        assert content(folder) == bucket.content("data")


def test_what_is_sent_is_whole_and_the_list_of_tiles_goes_last(bucket, tmp_path, monkeypatch):
    def made(stores):
        out = stores.write(Path(f"{bucket}/tiles"))
        out.mkdir(exist_ok=True)
        for name in ("store.json", "a.npy", "z.npy", ".hidden"):
            (out / name).write_bytes(name.encode() * 300_000)

    real, sent = sending.client_of, []

    def stopping(address):
        inner = real(address)

        class Client:
            head, list = inner.head, inner.list

            def put(self, key, file):
                if len(sent) == 1:
                    raise ConnectionResetError("gone")
                sent.append(key)
                return inner.put(key, file)

        return Client()

    monkeypatch.setattr(sending, "_AT_ONCE", 1)
    with monkeypatch.context() as patch:
        patch.setattr(sending, "client_of", stopping)
        with pytest.raises(ResourceError, match="the store cannot be used"), Stores() as stores:
            made(stores)
    assert set(bucket.content("tiles")) == {"a.npy"}
    monkeypatch.setattr(sending, "client_of", lambda address: Counting(real(address), sent))
    with Stores() as stores:  # without --overwrite: what is there was sent by this command
        made(stores)
    assert sent == ["tiles/a.npy", "tiles/z.npy", "tiles/store.json"]
    assert {name: len(data) for name, data in bucket.content("tiles").items()} == {
        "store.json": 3_000_000, "a.npy": 1_500_000, "z.npy": 1_500_000,
    }  # fmt: skip
    with pytest.raises(OutputExistsError, match="exists"), Stores() as stores:
        made(stores)


@pytest.mark.parametrize("name", ["a.npy", "..%5Codd"])
def test_nothing_of_others_is_overwritten_whatever_it_is_called(bucket, endpoint, name):
    ask(endpoint, f"/{bucket.name}/tiles/{name}", b"theirs")
    with pytest.raises(OutputExistsError, match="exists"), Stores() as stores:
        stores.write(Path(f"{bucket}/tiles"))


def failing(work):
    """A command that fails after its work with the stores."""

    def command():
        with Stores() as stores:
            work(stores)
            raise RuntimeError("the command failed")

    with pytest.raises(RuntimeError):
        command()


def test_what_others_wrote_since_a_command_failed_is_not_overwritten(bucket):
    failing(lambda stores: stores.write(Path(f"{bucket}/tiles")))
    bucket.client.put("tiles/store.json", b"theirs")
    with pytest.raises(OutputExistsError, match="exists"), Stores() as stores:
        stores.write(Path(f"{bucket}/tiles"))
    assert bucket.content("tiles") == {"store.json": b"theirs"}


def test_objects_that_are_gone_from_the_store_are_gone_here(bucket):
    for name in ("a.bin", "b/c.bin"):
        bucket.client.put(f"data/{name}", b"x")
    failing(lambda stores: stores.read(Path(f"{bucket}/data")))
    bucket.client.delete("data/b/c.bin")
    with Stores() as stores:
        assert content(stores.read(Path(f"{bucket}/data"))) == {"a.bin": b"x"}


def test_an_empty_object_in_place_of_a_folder_is_left_out(bucket, endpoint):
    for name in ("data/", "data/images/"):
        ask(endpoint, f"/{bucket.name}/{name}")
    bucket.client.put("data/images/a.bin", b"x")
    with Stores() as stores:
        assert content(stores.read(Path(f"{bucket}/data"))) == {"images/a.bin": b"x"}


def test_a_line_that_a_kill_cut_short_spoils_no_other(tmp_path):
    path = tmp_path / "sent.jsonl"
    Record(path).add("a", 1, "v")
    path.write_text(path.read_text() + '["b", 2')
    Record(path).add("c", 3, "w")
    again = Record(path)
    assert again.holds("a", 1, "v") and again.holds("c", 3, "w") and not again.knows("b")


class Counting:
    def __init__(self, inner, sent):
        self.head, self.list, self._inner, self._sent = inner.head, inner.list, inner, sent

    def put(self, key, file):
        self._sent.append(key)
        return self._inner.put(key, file)


def test_names_of_objects_lead_nowhere_else(bucket, endpoint, tmp_path):
    ask(endpoint, f"/{bucket.name}/data/..%5Cevil.tif", b"x")
    with pytest.raises((DataError, ResourceError)), Stores() as stores:
        stores.read(Path(f"{bucket}/data"))
    assert not list(tmp_path.rglob("*evil*"))


def test_a_list_of_masks_names_no_store(bucket, tmp_path, capsys):
    """Only what a user types is an address; what a file says is not."""
    bucket.client.put("town.tif", write_tiff(tmp_path / "town.tif", make_mask(64), make_grid(64)).read_bytes())
    (tmp_path / "masks.txt").write_text(f"{bucket}/town.tif\n")
    assert main(["generate", str(save_run(tmp_path / "run")), str(tmp_path / "masks.txt"), "--out", str(tmp_path / "out")]) == 3
    assert "not there" in capsys.readouterr().err


def test_a_store_that_does_not_answer_is_said_so_without_secrets(bucket, tmp_path, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free.getsockname()[1]}")
    monkeypatch.setattr(client, "_TRIES", 0)
    with pytest.raises(ResourceError, match=r"^s3://nowhere/a: the store cannot be used") as failed, Stores() as stores:
        stores.read(Path("s3://nowhere/a"))
    assert SECRET not in str(failed.value) and KEY_ID not in str(failed.value)


def test_nothing_is_written_to_a_web_server():
    with pytest.raises(ConfigError, match="nothing can be written there"), Stores() as stores:
        stores.write(Path("https://example.org/images"))


def test_paths_of_this_machine_stay_what_they_are(tmp_path):
    with Stores() as stores:
        assert stores.read(tmp_path) == tmp_path == stores.write(tmp_path) and stores.read(None) is None
