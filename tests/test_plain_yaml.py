"""Settings hold plain values; what YAML can do beyond them is refused."""

import time

import pytest

from orthoforge.errors import ConfigError
from orthoforge.plain_yaml import LARGEST_BYTES, dump_yaml, read_yaml

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


def write(folder, text):
    path = folder / "mine.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LAUGHS, r"\*a repeats a value by its name; write the value out"),
        ("a: &a {b: *a}\n", r"\*a repeats a value by its name"),
        ("epochs: 1\nepochs: 2\n", "`epochs` stands here a second time; keep one of them"),
        ("run: {data: a, data: b}\n", "`data` stands here a second time"),
        ("a: !!python/object/apply:os.system [echo]\n", r"os\.system gives a value a type of its own"),
        ("a: !!int ''\n", "int gives a value a type of its own"),
        ("a: " + "9" * 100_000 + "\n", "a number of 100000 characters"),
        ("a: 0x" + "f" * 100_000 + "\n", "a number of 100002 characters"),
        ("a: 1" + ":59" * 1000 + "\n", "a number of 3001 characters"),
        ("a: 1" + "0" * 5000 + ".5\n", "a number of 5003 characters"),
        ("a: 2021-02-30\n", "day is out of range for month"),
        ("a: 0x_\n", "not valid YAML"),
        ("a: " + "[" * 5000 + "]" * 5000 + "\n", "lists within lists, more than 20 deep"),
        ("- " * 5000 + "a\n", "lists within lists, more than 20 deep"),
        ("[a]: b\n", "unhashable"),
        ("a: =\n", "not valid YAML"),
        (b"a: \xff\n", "not valid YAML"),
        ("a: \x1b[31m\n", "not valid YAML"),
        ("# " + "x" * LARGEST_BYTES, "is larger than 500 kB"),
    ],
    ids=range(19),
)
def test_what_is_more_than_plain_yaml_is_refused_by_its_place_and_at_once(text, message, tmp_path):
    began = time.process_time()
    with pytest.raises(ConfigError, match=message) as caught:
        read_yaml(write(tmp_path, text))
    assert "mine.yaml: " in str(caught.value) and len(str(caught.value)) < 500
    assert time.process_time() - began < 1


def test_what_cannot_be_opened_says_why(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot be read \(Is a directory\)"):
        read_yaml(tmp_path)


def test_what_is_dumped_comes_back_though_it_holds_one_list_twice(tmp_path):
    colour = [1, 2, 3]
    values = {"colours": [colour, colour], "name": "é", "text": "yes", "rate": 1e-05, "none": None, "nested": {"a": [[[0.1]]]}}
    text = dump_yaml(values)
    assert "&" not in text and "*" not in text
    assert read_yaml(write(tmp_path, text)) == values
