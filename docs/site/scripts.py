"""The page of the example scripts: what each says of itself, and its code."""

import ast
from pathlib import Path

HEAD = """# Example scripts

Short scripts that you can run and change. They lie in `examples/` of the repository. A test runs each of them.
"""


FIRST = ("first_image", "your_tiles_to_a_run", "forge_and_grow", "evaluate_a_run")
"""In the order in which they are needed; others come behind them."""


def examples_page(folder: Path) -> str:
    """Markdown of the page."""
    others = sorted(path.stem for path in folder.glob("*.py") if path.stem not in FIRST)
    return HEAD + "\n".join(_section(folder / f"{name}.py") for name in (*FIRST, *others))


def _section(path: Path) -> str:
    code = path.read_text("utf-8")
    title = (ast.get_docstring(ast.parse(code)) or path.stem).splitlines()[0].rstrip(".")
    return f"\n## {title}\n\n`examples/{path.name}`\n\n```python\n{code.rstrip()}\n```\n"
