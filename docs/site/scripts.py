"""The page of the example scripts: what each says of itself, and its code."""

import ast
from pathlib import Path

HEAD = """# Example scripts

Short scripts that you can run and change. They lie in `examples/` of the repository. A test runs each of them.
"""


def examples_page(folder: Path) -> str:
    """Markdown of the page."""
    return HEAD + "\n".join(_section(path) for path in sorted(folder.glob("*.py")))


def _section(path: Path) -> str:
    code = path.read_text("utf-8")
    title = (ast.get_docstring(ast.parse(code)) or path.stem).splitlines()[0].rstrip(".")
    return f"\n## {title}\n\n`examples/{path.name}`\n\n```python\n{code.rstrip()}\n```\n"
