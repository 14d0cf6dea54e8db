"""The documentation beside the code: commands that parse, messages that exist, and no page without a place."""

import re
import shlex
import sys
from pathlib import Path

import pytest
import yaml

import orthoforge

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS / "site"))

import commands  # noqa: E402
import messages  # noqa: E402
import names  # noqa: E402

PAGES = sorted([ROOT / "README.md", *DOCS.rglob("*.md")])


def command_lines(text):
    """Words of every line of a code block that begins with `orthoforge`, and of such code in a sentence with an option in it."""
    lines = re.findall(r"^(?: {4})?(orthoforge (?:[^\\\n]|\\\n)*)", text, flags=re.M)
    in_sentences = [code for code in re.findall(r"`(orthoforge [^`…]* --?[a-z][^`…]*)`", text) if "\n" not in code]
    for line in [*lines, *in_sentences]:
        words = shlex.split(re.sub(r"\s{2,}\S.*$| #.*$", "", line.replace("\\\n", " ")))
        if words[1] in commands.COMMANDS and not {"…", "--help"} & set(words) and "[" not in line:
            yield words[1:]


@pytest.fixture(scope="module")
def message_page():
    return messages.messages_page(ROOT / "src" / "orthoforge")


@pytest.fixture(scope="module")
def parsers():
    return commands.parsers()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_on_a_page_is_one(page, parsers, capsys):
    for words in command_lines(page.read_text("utf-8")):
        if words[0] == "train" and "--resume" in words:
            words.insert(1, "RECIPE")  # a run has one
        try:
            parsers[words[0]].parse_args(words[1:])
        except SystemExit:
            pytest.fail(f"{shlex.join(words)}\n{capsys.readouterr().err}")


def test_the_page_of_commands_has_every_option(parsers):
    page = commands.commands_page()
    assert {f"## {name}" for name in commands.COMMANDS} <= set(page.splitlines())
    options = {option for parser in parsers.values() for action in parser._actions for option in action.option_strings}
    assert {"--material-from", "--least-agreement", "--epochs"} <= options
    assert all(f"`{option}" in page for option in options - {"-h", "--help"})


def test_the_pages_of_names_have_each_public_name_once():
    text = "\n".join(text for path, text in names.pages_of_names().items() if "python/" in path)
    assert sorted(re.findall(r"^::: orthoforge\.(\w+)$", text, flags=re.M)) == sorted(orthoforge.__all__)


def test_the_page_of_messages_has_every_message(message_page):
    kinds = "|".join(messages.KINDS)
    for path in sorted((ROOT / "src" / "orthoforge").rglob("*.py")):
        for words in re.findall(rf'raise (?:{kinds})\(\s*f?"((?:[^"\\{{}}]){{12,}})', path.read_text("utf-8")):
            assert messages._escaped(words.strip()) in message_page, (path.name, words)


def test_questions_are_headed_by_words_of_messages(message_page):
    asked = re.findall(r"^### (.+)$", (DOCS / "questions.md").read_text("utf-8"), flags=re.M)
    quoted = [question.strip("“”") for question in asked if question.startswith("“")]
    assert len(quoted) > 15
    plain = re.sub("<i>[^<]*</i>", "…", message_page)
    for question in quoted:
        assert messages._escaped(question) in plain, question


def test_every_page_has_its_place_in_the_site():
    text = (ROOT / "mkdocs.yml").read_text("utf-8")
    nav = yaml.safe_load(text)["nav"]
    placed = set(re.findall(r"[\w./-]+\.md", str(nav)))
    there = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}
    generated = {"reference/commands.md", "reference/messages.md", "tutorials/examples.md", *names.pages_of_names()}
    assert placed == there | generated
