"""What users' editors and checkers see of the package: mypy reads ``public_api.py`` as code of theirs, under ``--strict``."""

import re
from pathlib import Path

import pytest
from mypy import api

import orthoforge

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """mypy's lines about ``public_api.py``."""
    cache = HERE.parents[1] / ".mypy_cache" / "typing"
    words = ["--config-file", HERE / "mypy.ini", "--cache-dir", cache, "--no-error-summary", HERE / "public_api.py"]
    stdout, stderr, _ = api.run([str(word) for word in words])
    assert not stderr
    return stdout.splitlines()


def test_no_mistake_is_missed_and_nothing_else_is_one(said):
    assert [line for line in said if ": error:" in line] == []


def test_each_public_name_has_a_type(said):
    revealed = [match[1] for line in said if (match := re.search(r'Revealed type is "(.*)"$', line))]
    asked = re.findall(r"reveal_type\(orthoforge\.(\w+)\)", (HERE / "public_api.py").read_text("utf-8"))
    assert asked == orthoforge.__all__
    types = dict(zip(asked, revealed, strict=True))
    assert [name for name, text in types.items() if not re.match(r"(def|Overload)\b", text)] == []
    assert [name for name, text in types.items() if text.endswith("-> Any")] == []
