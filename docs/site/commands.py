"""The page of all commands, written from their parsers."""

import argparse
import warnings

import tyro
from tyro.conf import FlagCreatePairsOff

from orthoforge.cli import COMMANDS
from orthoforge.cli.training import TrainOptions
from orthoforge.config import Recipe

HEAD = """# Commands

This page is written from the commands' own parsers, as `orthoforge COMMAND --help` is. `orthoforge --version` prints the version.
Each command is also a [function of the same name](index.md) with the same defaults.
"""


def parsers() -> dict[str, argparse.ArgumentParser]:
    """The parser of each command."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # tyro offers no other way to what its help is made of
        return {name: _parser(name) for name in COMMANDS}


def commands_page() -> str:
    """Markdown of the page."""
    return HEAD + "\n".join(_section(name, parser) for name, parser in parsers().items())


def _parser(name: str) -> argparse.ArgumentParser:
    prog = f"orthoforge {name}"
    if name == "train":
        default = TrainOptions(recipe=tyro.MISSING, settings=Recipe(name="RECIPE"))
        return tyro.extras.get_parser(TrainOptions, prog=prog, default=default, config=(FlagCreatePairsOff,))
    return tyro.extras.get_parser(COMMANDS[name], prog=prog, config=(FlagCreatePairsOff,))


def _section(name: str, parser: argparse.ArgumentParser) -> str:
    actions = [action for action in parser._actions if "--help" not in action.option_strings]
    positional = [action for action in actions if not action.option_strings]
    named = [action for action in actions if action.option_strings]
    usage = " ".join([f"orthoforge {name}", *(_shown_name(action) for action in positional), *(["[options]"] if named else [])])
    parts = [f"\n## {name}\n", str(parser.description or "").strip(), f"\n```text\n{usage}\n```\n"]
    return "\n".join([*parts, *(_entry(action) for action in [*positional, *named])])


def _entry(action: argparse.Action) -> str:
    words = " ".join(str(action.help or "").split())
    meaning, _, default = words.rpartition(" (")
    meaning, default = (meaning, default.rstrip(")")) if default.startswith(("default", "required")) else (words, "")
    default = "" if default in ("default: None", "default: False", "default:") else default
    if not action.option_strings:
        default = "" if default == "required" else default
    value = "" if action.nargs == 0 or not action.option_strings else f" {_metavar(action)}"
    names = ", ".join(f"`{option}{value}`" for option in reversed(action.option_strings)) or f"`{_shown_name(action)}`"
    note = f" *({default})*" if default else ""
    return f"{names}{note}\n:   {_escaped(meaning) or '…'}\n"


def _shown_name(action: argparse.Action) -> str:
    name = str(action.dest).split(".")[-1].strip("_").upper()
    return f"{name}…" if action.nargs in ("*", "+") else name


def _metavar(action: argparse.Action) -> str:
    text = action.metavar if isinstance(action.metavar, str) else " ".join(action.metavar or ())
    for words in ("{None}|", "{None, }"):
        text = text.replace(words, "")
    return text.strip("{}").replace(",", "|") if "{" in text else text


def _escaped(text: str) -> str:
    return text.replace("|", "&#124;").replace("<", "&lt;").replace("*", "\\*")
