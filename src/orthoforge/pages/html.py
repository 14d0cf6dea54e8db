"""HTML reports in one file: pictures, styles and script are inside, and nothing is fetched when it is opened.

Each function returns a piece of a page; ``page`` puts the pieces together and ``write_page`` writes the file. Text is escaped
wherever it enters; only ``Html`` is taken as it is. `Backticks` in a text become code.
"""

import base64
import html
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from orthoforge.files import new_file

_ROOM = Path(__file__).parent
# Nothing may be fetched, even if a later edit of this file asks for it.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
# Text and grid of a plot on a light and on a dark page; the lines' colours are read well on both.
_SCHEMES = {"light": ("#3d4449", "#d8dcdd"), "dark": ("#c3c9cb", "#3c4448")}
_LINES = ("#2f7fb8", "#d0722b", "#3b9a6d")


class Html(str):
    """Markup that is ready for a page: text in it has been escaped."""

    __slots__ = ()


Text = str | Html
Tone = Literal["good", "off", "quiet", "real", "forged"]


@dataclass(frozen=True)
class Picture:
    """An image on a page. A click enlarges it."""

    pixels: np.ndarray  # (H, W) or (H, W, 3) uint8
    caption: Text = ""
    alt: str = ""
    """What a reader who sees no images is told; the caption when left out."""
    lossless: bool = False
    """PNG instead of JPEG: for masks and drawings. Pictures of one band are always PNG."""
    pixelated: bool = False
    """Enlarged to its column as squares, not smoothed: smoothed, few pixels look like a blurred image."""
    quality: int = 90
    """Of the JPEG; lower where a page holds hundreds. At 90 a photo is a fifth of its PNG and no difference shows; without chroma
    subsampling, red roofs keep their edges."""


@dataclass(frozen=True)
class Step:
    """One stage of something that happened: what, how much, and details."""

    name: str
    figure: str
    details: Text = ""


def escape(text: Text) -> Html:
    """Text as markup: special characters escaped, `backticks` as code."""
    if isinstance(text, Html):
        return text
    return Html(re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text)))


def join(parts: Sequence[Html]) -> Html:
    """Pieces one after the other."""
    return Html("\n".join(parts))


def paragraph(text: Text) -> Html:
    """A paragraph."""
    return Html(f"<p>{escape(text)}</p>")


def subheading(text: Text) -> Html:
    """A heading within a section."""
    return Html(f'<h3 class="part">{escape(text)}</h3>')


def note(text: Text, *, warning: bool = False) -> Html:
    """A paragraph set apart: something to know before reading on."""
    return Html(f'<p class="note{" warning" * warning}">{escape(text)}</p>')


def aside(text: Text) -> Html:
    """A paragraph that is said more quietly: how to read what stands beside it."""
    return Html(f'<p class="quiet">{escape(text)}</p>')


def toned(tone: Tone, text: Text) -> Html:
    """Words in a colour of their own: as a judgement, or to name the line of a plot."""
    return Html(f'<span class="{tone}">{escape(text)}</span>')


def link(path: str, text: str = "") -> Html:
    """A link to a file beside the report, by relative path."""
    assert "://" not in path and not path.startswith("/"), path
    return Html(f'<a href="{html.escape(path)}">{html.escape(text or path)}</a>')


def commands(text: str) -> Html:
    """Command lines, as they are typed."""
    return Html(f"<pre><code>{html.escape(text)}</code></pre>")


def table(columns: Sequence[Text], rows: Sequence[Sequence[Text]], caption: Text = "") -> Html:
    """A table. A column whose heading begins with '>' holds numbers and is set to the right."""
    right = [str(column).startswith(">") for column in columns]
    kind = ['class="number"' if number else "" for number in right]
    head = "".join(
        f'<th scope="col" {kind}>{escape(column if isinstance(column, Html) else column.removeprefix(">"))}</th>'
        for column, kind in zip(columns, kind, strict=True)
    )
    body = ""
    for first, *others in rows:
        cells = "".join(f"<td {kind}>{escape(cell)}</td>" for cell, kind in zip(others, kind[1:], strict=True))
        body += f'<tr><th scope="row">{escape(first)}</th>{cells}</tr>\n'
    label = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""  # outside the part that scrolls
    cells = f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    hint = '<p class="hint" hidden>Scroll the table sideways: there are more columns →</p>'  # page.js shows it where it is so
    return Html(f'<figure class="table">{label}<div class="scroll" tabindex="0"><table>{cells}</table></div>{hint}</figure>')


def steps(entries: Sequence[Step]) -> Html:
    """What happened, as a row of numbered boxes."""
    boxes = "".join(
        f"<li><h3>{escape(step.name)}</h3><strong>{escape(step.figure)}</strong><p>{escape(step.details)}</p></li>"
        for step in entries
    )
    return Html(f'<ol class="steps">{boxes}</ol>')


def picture_row(
    pictures: Sequence[Picture], *, heading: Text = "", stack: bool = False, natural: bool = False, wide: bool = False
) -> Html:
    """Pictures side by side, to be compared. ``stack`` puts them below one another on a narrow screen.

    ``natural`` shows each pixel by pixel instead of filling the row; where there is no room for all of it, its middle. ``wide`` is
    for any number of pictures: where they do not fit the row scrolls, and its first and (with room) last picture stay in sight.
    """
    style = "row" + " stack" * stack + " natural" * natural + " wide" * wide
    label = f"<h3>{escape(heading)}</h3>" if heading else ""
    figures = "\n".join(_figure(picture, natural) for picture in pictures)
    return Html(f'{label}<div class="{style}" style="--columns: {len(pictures)}">\n{figures}\n</div>')


def picture_groups(groups: Sequence[Sequence[Picture]], *, heading: Text = "") -> Html:
    """Pictures that belong together, below one another, group beside group: on a narrow screen too, a group stays in one."""
    label = f"<h3>{escape(heading)}</h3>" if heading else ""
    inside = ("\n".join(_figure(picture, natural=False) for picture in group) for group in groups)
    boxes = "\n".join(f'<div class="group">\n{figures}\n</div>' for figures in inside)
    return Html(f'{label}<div class="row" style="--columns: {len(groups)}">\n{boxes}\n</div>')


def plots(pieces: Sequence[Html]) -> Html:
    """Plots side by side, as many as fit."""
    return Html(f'<div class="plots">{"".join(pieces)}</div>')


def line_plot(title: str, x_label: str, x: Sequence[float], lines: Mapping[str, Sequence[float]]) -> Html:
    """Named lines over ``x``, once for light pages and once for dark ones; the browser picks."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    uris = {}
    for scheme, (text, grid) in _SCHEMES.items():
        figure = Figure(figsize=(4.6, 2.9), layout="constrained")
        axes = figure.add_subplot()
        for (name, y), colour in zip(lines.items(), _LINES, strict=False):
            axes.plot(x, y, label=name, color=colour, linewidth=2, marker="o" if len(x) < 40 else "", markersize=3.5)
        axes.set_title(title, color=text, fontsize=11, loc="left")
        axes.set_xlabel(x_label, color=text)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
        axes.tick_params(colors=text, length=0)
        axes.grid(color=grid, linewidth=0.8)
        axes.set_axisbelow(True)
        for spine in axes.spines.values():
            spine.set_visible(False)
        if len(lines) > 1:
            axes.legend(labelcolor=text, frameon=False)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=170, transparent=True)
        uris[scheme] = _data_uri(buffer.getvalue(), "png")
    ends = "; ".join(f"{name} from {y[0]:.3g} to {y[-1]:.3g}" for name, y in lines.items())
    return Html(
        f'<figure><picture><source media="(prefers-color-scheme: dark)" srcset="{uris["dark"]}">'
        f'<img src="{uris["light"]}" width="782" height="493" alt="{html.escape(f"{title}: {ends}")}"></picture></figure>'
    )


def marked(text: Text) -> Html:
    """Text that stands out, in a table above all."""
    return Html(f"<mark>{escape(text)}</mark>")


def details(summary: Text, *parts: Html) -> Html:
    """Parts that are folded away until the reader opens them."""
    return Html(f"<details>\n<summary>{escape(summary)}</summary>\n{join(parts)}\n</details>")


def section(heading: str, *parts: Html) -> Html:
    """A part of the page under a heading."""
    return Html(f"<section>\n<h2>{escape(heading)}</h2>\n{join(parts)}\n</section>")


def page(title: str, lead: Text, *parts: Html, verdict: Text = "") -> Html:
    """A whole page: title, what was found in a sentence or two, an introduction, and its parts."""
    found = f'<p class="verdict">{escape(verdict)}</p>\n' if verdict else ""
    style, script = ((_ROOM / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return Html(
        f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<link rel="icon" href="data:,">
<title>{html.escape(title)}</title>
<style>
{style}</style>
</head>
<body>
<main>
<header>
<h1>{escape(title)}</h1>
{found}<p class="lead">{escape(lead)}</p>
</header>
{join(parts)}
</main>
<dialog id="zoom" aria-label="Enlarged picture">
<img alt="">
<footer><button type="button" data-move="-1" aria-label="Previous picture">←</button><p></p>\
<button type="button" data-move="1" aria-label="Next picture">→</button>\
<button type="button" data-close aria-label="Close">✕</button></footer>
</dialog>
<script>
{script}</script>
</body>
</html>
"""
    )


def write_page(path: Path, content: Html, *, overwrite: bool = False) -> None:
    """Write a page; a killed process leaves no half of one. Errors as in ``files.new_file``."""
    with new_file(path, overwrite=overwrite) as partial:
        partial.write_text(content, encoding="utf-8")


def _figure(picture: Picture, natural: bool) -> str:
    pixels = picture.pixels
    assert pixels.dtype == np.uint8 and (pixels.ndim == 2 or pixels.shape[2:] == (3,)), (pixels.dtype, pixels.shape)
    exact = picture.lossless or pixels.ndim == 2
    buffer = io.BytesIO()
    if exact:
        Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    else:  # not optimized: Pillow's buffer for that is too small for noise
        Image.fromarray(pixels).save(buffer, "JPEG", quality=picture.quality, subsampling=0)
    uri = _data_uri(buffer.getvalue(), "png" if exact else "jpeg")
    height, width = pixels.shape[:2]
    plain = re.sub(r"<[^>]*>", "", picture.caption) if isinstance(picture.caption, Html) else html.escape(picture.caption)
    alt = html.escape(picture.alt) or plain
    limit = f' style="max-width: {width}px"' if natural else ""
    caption = f"<figcaption>{escape(picture.caption)}</figcaption>" if picture.caption else ""
    kind = ' class="pixelated"' * picture.pixelated
    image = f'<img src="{uri}" width="{width}" height="{height}" alt="{alt}"{kind}>'
    return f'<figure><button type="button" class="zoom"{limit}>{image}</button>{caption}</figure>'


def _data_uri(payload: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(payload).decode()}"
