"""The page of all messages: what Orthoforge's errors say, read in the source where they are raised."""

import ast
import inspect
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orthoforge import errors
from orthoforge.errors import OrthoforgeError, exit_code

HEAD = """# Messages

These are all errors that Orthoforge raises on purpose, as they stand in the source. An error is one line that begins with `error:`.
It names the file, the cause and the way out. Words in *italics* stand for what differs from case to case, such as a name or a
number. Search this page for a few words of your message. [Questions and answers](../questions.md) explains the usual ones.

"""
KINDS = {name: kind for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, OrthoforgeError)}
TOPICS = {
    "scenes": "Scenes and pairs", "geo": "Rasters, grids and CRS", "masks": "Masks and classes", "vectors": "Footprints",
    "tiles": "Tiles", "config": "Recipes", "plain_yaml": "Recipes", "training": "Training", "trackers": "Training",
    "models": "Networks and losses", "checkpoints": "Checkpoints and weights", "checkpoint_state": "Checkpoints and weights",
    "weights": "Checkpoints and weights", "checkpoint_files": "Checkpoints and weights", "labels": "Labels",
    "datasets": "Pairs for PyTorch", "devices": "Devices",
    "runs": "Runs", "run_files": "Runs", "trained_generator": "Generators", "material": "Material", "tile_library": "Material",
    "generation": "Generating", "forging": "Forging", "growing": "Growing", "hub": "Publishing", "measures": "Scores",
    "evaluation": "Scores", "comparison": "Comparing", "usefulness": "Utility", "experiments": "Experiments",
    "realigning": "Realigning", "files": "Files and disks", "cli": "Command line",
}  # fmt: skip
"""What a room's messages are about; a room without a row is called by its name."""


@dataclass(frozen=True)
class Message:
    """One error that may be raised."""

    room: str
    kind: str
    text: str


def messages(package: Path) -> Iterator[Message]:
    """Each ``raise`` of one of our errors in the package that says its words there, file by file."""
    sources = {path: list(ast.walk(ast.parse(path.read_text("utf-8")))) for path in sorted(package.rglob("*.py"))}
    kinds = {name: name for name in KINDS}
    for node in (node for nodes in sources.values() for node in nodes if isinstance(node, ast.ClassDef)):
        # Of a class that a room has to itself, the kind is the one it is a kind of.
        ours = [base.id for base in node.bases if isinstance(base, ast.Name) and base.id in KINDS]
        if ours and node.name not in KINDS:
            kinds[node.name] = ours[0]
    for path, nodes in sources.items():
        room = path.relative_to(package).parts[0].removesuffix(".py")
        for node in nodes:
            is_ours = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in kinds
            if is_ours and node.args and (text := _text(node.args[0])):
                yield Message(room, kinds[node.func.id], text)


def messages_page(package: Path) -> str:
    """Markdown of the page, by topic, then by kind of error."""
    topics: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for message in messages(package):
        texts = topics[TOPICS.get(message.room, message.room)][message.kind]
        if message.text not in texts:
            texts.append(message.text)
    ordered = dict.fromkeys([*TOPICS.values(), *sorted(topics)])
    return HEAD + "\n".join(_topic(name, topics[name]) for name in ordered if topics[name])


def _topic(name: str, kinds: dict[str, list[str]]) -> str:
    parts = [f"## {name}\n"]
    for kind in sorted(kinds):
        parts.append(f"`{kind}`, exit code {exit_code(KINDS[kind](''))}:\n")
        parts += [f"- {text}" for text in kinds[kind]]
        parts.append("")
    return "\n".join(parts)


def _text(node: ast.expr) -> str:
    """The words as Markdown, with … for what is put in; nothing where they are made elsewhere."""
    if isinstance(node, ast.Constant):
        return _escaped(str(node.value))
    if isinstance(node, ast.JoinedStr):
        said = "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))
        parts = [_escaped(str(part.value)) if isinstance(part, ast.Constant) else _put_in(part) for part in node.values]
        return "".join(parts) if said.strip(" :.") else ""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left) + _text(node.right)
    return ""


def _put_in(part: ast.expr) -> str:
    """What stands for a value: its name, where it has one."""
    value = part.value if isinstance(part, ast.FormattedValue) else part
    name = value.id if isinstance(value, ast.Name) else value.attr if isinstance(value, ast.Attribute) else "…"
    return f"<i>{name.strip('_').replace('_', ' ')}</i>"


def _escaped(text: str) -> str:
    for character in "\\<>*_[]":
        text = text.replace(character, {"<": "&lt;", ">": "&gt;"}.get(character, f"\\{character}"))
    return text
