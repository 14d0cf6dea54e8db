"""Pages of the site that are written while it is built: commands, public names, messages, examples.

MkDocs calls the functions below (`hooks` in mkdocs.yml).
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url

from commands import commands_page
from messages import messages_page
from names import pages_of_names
from scripts import examples_page

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
WORKER = "assets/worker.js"
FROM_ELSEWHERE = re.compile(r'<(?:script|link|img|iframe)\b[^>]*(?:src|href)="(?:https?:)?//[^"]*"')
FOREIGN_WORKER = "https://unpkg.com/iframe-worker/shim"


def generated_pages() -> Mapping[str, str]:
    """Path of each page that is written here, and its Markdown."""
    return {
        "reference/commands.md": commands_page(),
        "reference/messages.md": messages_page(ROOT / "src" / "orthoforge"),
        "tutorials/examples.md": examples_page(ROOT / "examples"),
        **pages_of_names(),
    }


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are written here."""
    for path, text in generated_pages().items():
        files.append(File.generated(config, path, content=text))
    files.append(File.generated(config, WORKER, content=(HERE / "worker.js").read_text("utf-8")))
    return files


def on_post_page(output: str, page: Page, **_: Any) -> str:
    """The script that lets a site on the disk be searched is our own: nothing is loaded from elsewhere."""
    own = output.replace(FOREIGN_WORKER, get_relative_url(WORKER, page.url))
    if found := FROM_ELSEWHERE.search(own):
        raise PluginError(f"{page.url} would load something from elsewhere: {found[0]}")
    return own


def on_post_template(output: str, **_: Any) -> str:
    """The same of 404.html, which is no page."""
    return output.replace(FOREIGN_WORKER, WORKER)
