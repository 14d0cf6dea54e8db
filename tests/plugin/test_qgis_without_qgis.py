"""What of the plugin needs no QGIS: the command as a process, the server, the source of tiles, and the packed plugin."""

import ast
import configparser
import http.server
import json
import signal
import socket
import sys
import threading
import time
import zipfile
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from qgis_here import ROOT, module_of

PLUGIN = ROOT / "qgis" / "orthoforge"
command_line, server, tile_source = (module_of(Path(f"orthoforge/{name}.py")) for name in ("command_line", "server", "tile_source"))


class Heard:
    """Keeps what a command tells."""

    def __init__(self, cancel_at: str = "") -> None:
        self.lines, self.warnings, self.shares, self._cancel_at = [], [], [], cancel_at
        self.told = command_line.Told(self.lines.append, self.warnings.append, self.shares.append, self._is_cancelled)

    def _is_cancelled(self) -> bool:
        return bool(self._cancel_at) and self._cancel_at in self.lines


def python(code: str) -> list[str]:
    return [sys.executable, "-IS", "-c", code]


def test_progress_warnings_and_output_are_told_apart():
    heard = Heard()
    code = (
        "import sys\n"
        "print('device: cpu', file=sys.stderr)\n"
        "print('warning: the mask is empty', file=sys.stderr)\n"
        "print('town blocks: 3 of 12, 2.0 a second, 5 s left', file=sys.stderr)\n"
        "print('out.tif')\n"
    )
    assert command_line.run(python(code), heard.told) == ["out.tif"]
    assert heard.warnings == ["the mask is empty"] and heard.shares == [0.25] and "device: cpu" in heard.lines


def test_a_failure_is_its_own_words():
    code = "import sys; print('error: town.tif: no such file.\\nDid you mean tower.tif?', file=sys.stderr); sys.exit(3)"
    with pytest.raises(command_line.CommandError, match=r"^town\.tif: no such file\.\nDid you mean tower\.tif\?$"):
        command_line.run(python(code), Heard().told)
    with pytest.raises(command_line.CommandError, match="ended with code 9: no words"):
        command_line.run(python("import sys; print('no words', file=sys.stderr); sys.exit(9)"), Heard().told)


@pytest.mark.parametrize("started_from", [signal.SIG_DFL, signal.SIG_IGN], ids=["foreground", "background"])
def test_a_cancelled_command_clears_away_what_is_unfinished(tmp_path, started_from):
    before = signal.signal(signal.SIGINT, started_from)
    unfinished = tmp_path / "unfinished"
    code = (
        "import os, sys, time\n"
        f"open({str(unfinished)!r}, 'w').close()\n"
        "try:\n"
        "    print('begun', flush=True)\n"
        "    time.sleep(60)\n"
        "except KeyboardInterrupt:\n"
        f"    os.remove({str(unfinished)!r})\n"
    )
    began = time.monotonic()
    try:
        with pytest.raises(command_line.CommandCancelledError):
            command_line.run(python(code), Heard(cancel_at="begun").told)
    finally:
        signal.signal(signal.SIGINT, before)
    assert not unfinished.exists() and time.monotonic() - began < 30


def test_the_command_sees_nothing_of_the_python_of_qgis(monkeypatch):
    monkeypatch.setenv("PYTHONHOME", "/opt/qgis/python")
    monkeypatch.setenv("PROJ_LIB", "/opt/qgis/proj")
    code = "import os; print('PYTHONHOME' in os.environ, 'PROJ_LIB' in os.environ, os.environ['ORTHOFORGE_PROGRESS_SECONDS'])"
    assert command_line.run(python(code), Heard().told) == ["False False 1"]


def test_a_program_may_be_a_path_with_spaces_or_have_options(tmp_path):
    program = tmp_path / "my programs" / "orthoforge"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert command_line.program(f" {program} ") == [str(program)]
    assert command_line.program(f'"{program}" -m x') == [str(program), "-m", "x"]
    for none in ("", "orthoforge-is-not-here", str(tmp_path / "no" / "orthoforge")):
        with pytest.raises(command_line.CommandError, match="There is no program"):
            command_line.program(none)


class Answers(http.server.BaseHTTPRequestHandler):
    """A server that is busy once, then makes a job that is done at the second look."""

    asked: list = []  # noqa: RUF012

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_DELETE = do_GET

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.asked.append((self.command, self.path, self.headers.get("X-API-Key"), body))
        looks = sum(path == "/v1/jobs/7" for _, path, _, _ in self.asked)
        job = {"id": "7", "state": "done" if looks > 1 else "running", "blocks": 4, "blocks_done": looks, "problem": ""}
        if self.path == "/v1/models" and len(self.asked) == 1:
            self._say(503, b"", {"Retry-After": "0.01"})
        elif self.path == "/v1/models":
            self._say(200, json.dumps({"models": [{"name": "first"}, {"name": "second"}]}).encode())
        elif self.path.endswith("/result"):
            self._say(200, b"II*\0")
        elif self.path.startswith("/v1/jobs"):
            self._say(200, json.dumps(job).encode())
        else:
            self._say(404, json.dumps({"detail": "There is no such map."}).encode())

    def _say(self, status: int, body: bytes, headers: dict | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def at(monkeypatch):
    monkeypatch.setattr(server, "_LOOK_S", 0.01)
    Answers.asked = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as listening:
        threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()


def test_a_busy_server_is_asked_again_and_a_refusal_is_its_own_words(at):
    asked = server.Server(at + "/", {"X-API-Key": "k"})
    assert asked.model("")["name"] == "first" and asked.model("second")["name"] == "second"
    with pytest.raises(server.ServerError, match="No model is called 'third'; there are: first, second"):
        asked.model("third")
    with pytest.raises(server.ServerError, match=r"^There is no such map\.$"):
        asked.tilejson("a/../b", seed=3)
    assert Answers.asked[-1][:3] == ("GET", "/v1/maps/a%2F..%2Fb/tilejson.json?seed=3", "k")


def test_an_image_is_a_job_that_tells_how_far_it_is(at, tmp_path):
    mask, shares = tmp_path / "mask.tif", []
    mask.write_bytes(b"II*\0mask")
    server.Server(at).image(
        mask, tmp_path / "image.tif", is_cancelled=lambda: False, progress=shares.append, seed=0, style="", threshold=None
    )
    assert (tmp_path / "image.tif").read_bytes() == b"II*\0" and shares and shares[-1] == 0.25
    sent = Answers.asked[0][3]
    assert b'name="mask"' in sent and b"II*\0mask" in sent and b'name="seed"\r\n\r\n0' in sent and b"style" not in sent


def test_a_cancelled_job_is_cancelled_at_the_server(at, tmp_path):
    footprints = tmp_path / "town.geojson"
    footprints.write_text("{}")
    with pytest.raises(server.ServerCancelledError):
        server.Server(at).image(footprints, tmp_path / "image.tif", is_cancelled=lambda: True, progress=print)
    assert Answers.asked[-1][:2] == ("DELETE", "/v1/jobs/7") and b'name="footprints"' in Answers.asked[0][3]


@pytest.mark.parametrize("address", ["file:///etc/passwd", "127.0.0.1:8000", "ftp://example.org"])
def test_only_http_is_asked(address):
    with pytest.raises(server.ServerError, match="is no address of a server"):
        server.Server(address)


def test_a_server_that_is_not_there_is_said_so():
    with pytest.raises(server.ServerError, match="cannot be reached"):
        server.Server("http://127.0.0.1:9").maps()


def test_tiles_are_asked_at_the_address_that_was_given():
    tilejson = {
        "tiles": ["http://inside:8000/v1/maps/my%20town/tiles/{z}/{x}/{y}.png?seed=3&style=s%C3%BCd"],
        "minzoom": 0,
        "maxzoom": 21,
    }
    source = tile_source.xyz_source(tilejson, "https://example.org/forge/")
    said = {name: values[0] for name, values in parse_qs(source).items()}
    assert said == {
        "type": "xyz", "zmin": "0", "zmax": "21",
        "url": "https://example.org/forge/v1/maps/my%20town/tiles/{z}/{x}/{y}.png?seed=3&style=s%C3%BCd",
    }  # fmt: skip
    assert tile_source.layer_name("town", "south", 3) == "town, south, seed 3"


def test_the_packed_plugin_is_whole_and_needs_nothing_else(tmp_path):
    packed = module_of(Path("pack.py")).pack(tmp_path / "plugin.zip")
    with zipfile.ZipFile(packed) as files:
        names = set(files.namelist())
        metadata = configparser.ConfigParser()
        metadata.read_string(files.read("orthoforge/metadata.txt").decode())
        modules = {name for name in names if name.endswith(".py")}
        imported = {root for name in modules for root in _roots(files.read(name).decode())}
    assert {"orthoforge/__init__.py", "orthoforge/icon.svg", "orthoforge/LICENSE"} <= names
    assert metadata["general"]["hasprocessingprovider"] == "yes" and metadata["general"]["icon"] == "icon.svg"
    assert imported - set(sys.stdlib_module_names) == {"qgis", "processing", "osgeo"}
    assert packed.read_bytes() == module_of(Path("pack.py")).pack(tmp_path / "again.zip").read_bytes()


def _roots(code: str) -> set[str]:
    """First parts of the absolute imports of a module."""
    tree = list(ast.walk(ast.parse(code)))
    plain = {name.name.partition(".")[0] for node in tree if isinstance(node, ast.Import) for name in node.names}
    return plain | {
        node.module.partition(".")[0] for node in tree if isinstance(node, ast.ImportFrom) and not node.level and node.module
    }


def test_a_command_with_half_a_quotation_is_named():
    with pytest.raises(command_line.CommandError, match="no program"):
        command_line.program("/home/o'neil/orthoforge")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", "another one"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", "another one"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", "ended in the middle"),
    ],
)
def test_what_is_no_answer_of_a_server_is_told(answer, words):
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def work():
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        threading.Thread(target=work, daemon=True).start()
        with pytest.raises(server.ServerError, match=words):
            server.Server(f"http://127.0.0.1:{listening.getsockname()[1]}").maps()
