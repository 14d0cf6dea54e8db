"""Reading a report as a browser would: its text, pictures and every address in it."""

import base64
import io
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

from PIL import Image

# Elements that have no end tag.
VOID = {"meta", "link", "img", "source", "br", "input"}


@dataclass
class Page:
    """What is on a page."""

    source: str
    tags: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    alts: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)  # of everything that a browser loads by itself
    links: list[str] = field(default_factory=list)  # of what it opens on a click
    unclosed: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def images(self) -> list[tuple[str, Image.Image]]:
        """Type and decoded picture of every image on the page, in order."""
        found = []
        for address in self.addresses:
            match = re.fullmatch(r"data:(image/\w+);base64,([A-Za-z0-9+/=]+)", address)
            if match:
                image = Image.open(io.BytesIO(base64.b64decode(match[2], validate=True)))
                image.load()
                found.append((match[1], image))
        return found


class _Reader(HTMLParser):
    def __init__(self, source: str) -> None:
        super().__init__()
        self.page, self._open = Page(source), []
        self.feed(source)
        self.close()
        self.page.unclosed += self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.page.tags.append(tag)
        if tag not in VOID:
            self._open.append(tag)
        values = dict(attrs)
        for name in ("src", "srcset", "data", "poster"):
            if values.get(name):
                self.page.addresses.append(values[name])
        if values.get("href"):
            (self.page.addresses if tag == "link" else self.page.links).append(values["href"])
        if values.get("alt"):
            self.page.alts.append(values["alt"])

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.page.unclosed.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("style", "script"):
            self.page.texts.append(data)


def read_page(source: str) -> Page:
    """Parse a page, or a piece of one."""
    return _Reader(source).page
