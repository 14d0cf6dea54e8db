"""gs:// and az://. Google's client speaks to moto's S3, whose XML is also Google's; Azure's has no server here, so the road to it
and back is walked with a store in memory.
"""

import json
import threading
import urllib.request
from pathlib import Path
from urllib.parse import unquote

import pytest

from conftest import make_dataset
from orthoforge.cli import main
from orthoforge.errors import ResourceError
from orthoforge.stores import address_of, client, fetching, sending

pytest.importorskip("moto.server", reason="moto serves S3: pip install 'orthoforge[dev]'")
_SIGNED = "AWS4-HMAC-SHA256 Credential=any/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
WORDS = ["--gsd", "0.3", "--size", "32", "--split", "random"]


@pytest.fixture(scope="module")
def google():
    """A server of buckets, which takes Google's credentials, none here, for those of S3."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    served = DomainDispatcherApplication(create_backend_app)

    def as_signed(environ, start):
        environ["RAW_URI"] = environ["REQUEST_URI"] = unquote(environ["REQUEST_URI"])
        environ["HTTP_AUTHORIZATION"] = _SIGNED
        asked.append((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
        return served(environ, start)

    asked: list[tuple[str, str]] = []
    server = make_server("127.0.0.1", 0, as_signed, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()


@pytest.fixture
def bucket(google, monkeypatch, tmp_path):
    """The address of a new bucket of Google's."""
    endpoint, _ = google
    account = {"gcs_base_url": endpoint, "disable_oauth": True, "client_email": "", "private_key": "", "private_key_id": ""}
    (tmp_path / "account.json").write_text(json.dumps(account))
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(tmp_path / "account.json"))
    monkeypatch.setenv("GOOGLE_ALLOW_HTTP", "true")
    monkeypatch.setenv("ORTHOFORGE_CACHE", str(tmp_path / "cache"))
    name = f"b{abs(hash(str(tmp_path)))}"  # Google's client writes other letters as %2D, which moto does not read
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{name}", b"", method="PUT")).close()
    return f"gs://{name}"


@pytest.fixture
def in_memory(monkeypatch, tmp_path):
    """Addresses of all schemes lead to one store in memory."""
    from obstore.store import MemoryStore

    store = MemoryStore()
    for module in (fetching, sending):
        monkeypatch.setattr(module, "client_of", lambda address: store)
    monkeypatch.setenv("ORTHOFORGE_CACHE", str(tmp_path / "cache"))
    return store


def visible(folder: Path) -> dict[str, bytes]:
    files = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    return {name.as_posix(): path.read_bytes() for name, path in files.items() if not any(p.startswith(".") for p in name.parts)}


def fill(store, folder: Path) -> None:
    for path in folder.rglob("*.tif"):
        store.put(f"data/{path.relative_to(folder).as_posix()}", path.read_bytes())


def held(store) -> dict[str, bytes]:
    return {one["path"].removeprefix("tiles/"): bytes(store.get(one["path"]).bytes()) for one in store.list("tiles").collect()}


def walk(store, address: str, tmp_path: Path) -> None:
    """Tiles of a bucket's pairs, in the bucket, are those of this machine."""
    data = make_dataset(tmp_path / "data", ["town1", "town2", "town3"])
    fill(store, data)
    assert main(["prepare", f"{address}/data", f"{address}/tiles", *WORDS]) == 0
    assert main(["prepare", str(data), str(tmp_path / "tiles"), *WORDS]) == 0
    assert held(store) == visible(tmp_path / "tiles")
    assert not list((tmp_path / "cache" / "stores").iterdir())
    assert main(["prepare", f"{address}/data", f"{address}/tiles", *WORDS]) == 4  # there already


def test_tiles_from_and_to_a_bucket_of_google(bucket, google, tmp_path):
    google[1].clear()
    walk(client.client_of(address_of(bucket)), bucket, tmp_path)
    written = [path.rpartition("/tiles/")[2] for method, path in google[1] if method == "PUT" and "/tiles/" in path]
    assert written[-1] == "store.json"


def test_a_large_object_goes_to_google_in_parts_and_appears_at_the_end(bucket, google, tmp_path):
    folder, content = tmp_path / "made", bytes(range(256)) * 50_000
    folder.mkdir()
    (folder / "large.bin").write_bytes(content)
    google[1].clear()
    from orthoforge.stores.record import Record

    sending.send(folder, address_of(f"{bucket}/out"), Record(tmp_path / "sent.jsonl"), last="")
    assert sum(method == "PUT" for method, _ in google[1]) > 1
    assert bytes(client.client_of(address_of(bucket)).get("out/large.bin").bytes()) == content


@pytest.mark.parametrize("address", ["az://container", "gs://bucket", "s3://bucket"])
def test_the_road_to_any_store_and_back(in_memory, address, tmp_path):
    walk(in_memory, address, tmp_path)


def test_plain_http_is_for_whom_the_environment_allows_it(bucket, monkeypatch):
    monkeypatch.delenv("GOOGLE_ALLOW_HTTP")
    with pytest.raises(ResourceError, match=r"gs://.* cannot be used"):
        client.objects(client.client_of(address_of(bucket)), address_of(f"{bucket}/x"))


def test_azure_takes_its_account_from_the_environment(monkeypatch):
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "town")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "YS1zZWNyZXQtdGhhdC1ub2JvZHktbWF5LXNlZQ==")
    store = client.client_of(address_of("az://container/key"))
    assert type(store).__name__ == "AzureStore"
