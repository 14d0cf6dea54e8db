"""The page's files: all of them are the server's own, and what is others' is what their packages hold."""

import hashlib
import json
import re

import pytest
from servers import client

from orthoforge.serving.page_files import FOLDER, POLICY

VENDOR = FOLDER / "vendor"
OWN = sorted(path for path in FOLDER.rglob("*") if path.is_file() and VENDOR not in path.parents)


def test_each_vendored_file_is_that_of_its_package_and_has_a_licence():
    packages = json.loads((VENDOR / "manifest.json").read_text())["packages"]
    listed = {f"{one['name']}/{path}" for one in packages for path in one["files"]} | {"manifest.json"}
    assert listed == {path.relative_to(VENDOR).as_posix() for path in VENDOR.rglob("*") if path.is_file()}
    for one in packages:
        assert {"name", "version", "licence", "files"} == one.keys() and "LICENSE" in one["files"]
        for path, sha256 in one["files"].items():
            assert hashlib.sha256((VENDOR / one["name"] / path).read_bytes()).hexdigest() == sha256, path


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_own_files_name_no_other_host_and_stay_small(path):
    text = path.read_text()
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", text)
    assert " style=" not in text, "the policy forbids it"
    if path.suffix == ".js":
        assert len(text.splitlines()) < 250
    for name in re.findall(r'(?:from|src=|href=)\s?"(/page/[^"#]+|\./[^"]+|\.\./[^"]+)"', text):
        target = FOLDER / name.removeprefix("/page/") if name.startswith("/page/") else path.parent / name
        assert target.exists(), f"{path.name} asks for {name}"


@pytest.mark.parametrize(("page", "entry"), [("index.html", "main.js"), ("map.html", "map.js")])
def test_all_modules_of_a_page_are_asked_for_at_once(page, entry):
    wanted, left = set(), [FOLDER / "js" / entry]
    while left:
        path = left.pop().resolve()
        found = [(path.parent / name).resolve() for name in re.findall(r'from "(\.[^"]+)"', path.read_text())]
        left += [one for one in found if one not in wanted]
        wanted |= set(found)
    told = {(FOLDER / name).resolve() for name in re.findall(r'modulepreload" href="/page/([^"]+)"', (FOLDER / page).read_text())}
    assert told == wanted


def test_the_page_is_served_with_a_strict_policy(tmp_path):
    with client(tmp_path, keys=("k" * 16,)) as found:
        for address in ("/", "/map", "/page/js/main.js", "/page/vendor/leaflet/leaflet.css"):
            answer = found.get(address)
            assert answer.status_code == 200, "without a key: it asks for one itself"
            assert answer.headers["content-security-policy"] == POLICY and "unsafe" not in POLICY
            assert answer.headers["cache-control"] == "no-cache"
        again = found.get("/page/page.css", headers={"If-None-Match": found.get("/page/page.css").headers["etag"]})
        assert again.status_code == 304
        for address in ("/page/../app.py", "/page/%2e%2e/app.py", "/page/nothing.js"):
            answer = found.get(address)
            assert answer.status_code == 404 and answer.headers["content-type"] == "application/problem+json"
