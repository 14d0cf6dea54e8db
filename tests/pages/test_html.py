"""A report is one file that shows what it was given, and fetches nothing."""

import io

import numpy as np
import pytest
from PIL import Image

from orthoforge.errors import OutputExistsError
from orthoforge.pages import html
from orthoforge.pages.html import Picture, Step
from page_checks import read_page

NASTY = "<script>alert('x')</script> & \"quoted\""
rng = np.random.default_rng(0)
MASK = (rng.random((12, 20)) > 0.5).astype(np.uint8) * 255
PHOTO = np.kron(rng.integers(0, 256, (3, 5, 3)), np.ones((16, 16, 1))).astype(np.uint8)  # flat patches: JPEG keeps them nearly


def whole_page() -> str:
    return html.page(
        NASTY,
        NASTY,
        html.section(
            NASTY,
            html.paragraph(NASTY),
            html.note(NASTY, warning=True),
            html.table([NASTY, f">{NASTY}"], [[NASTY, NASTY]], NASTY),
            html.steps([Step(NASTY, NASTY, NASTY)]),
            html.commands(NASTY),
            html.link("a folder/<x>.html", NASTY),
            html.picture_row([Picture(MASK, NASTY), Picture(PHOTO, "photo", alt=NASTY)], heading=NASTY, stack=True),
            html.plots([html.line_plot(NASTY, "epoch", [1, 2, 3], {NASTY: [1.0, 2.0, 1.5], "b": [0.0, 0.1, 0.2]})]),
        ),
    )


def test_whatever_is_written_appears_as_text():
    page = read_page(whole_page())
    assert page.tags.count("script") == 1  # the page's own
    # title, h1, lead, h2, paragraph, note; two headings, two cells and the caption of the table; three of the step; commands,
    # link, caption of the picture, heading of its row
    assert page.text.count(NASTY) == 18
    assert page.alts[:2] == [NASTY, NASTY]
    assert page.alts[2].startswith(NASTY)


def test_a_page_is_well_formed_and_fetches_nothing():
    page = read_page(whole_page())
    assert page.unclosed == []
    assert page.addresses  # pictures, the icon
    assert [address for address in page.addresses if not address.startswith("data:")] == []
    assert page.links == ["a folder/<x>.html"]
    for word in ("http:", "https:", "url(", "@import", "fetch(", "src=//"):
        assert word not in page.source


def test_masks_come_out_exactly_and_photos_nearly():
    page = read_page(whole_page())
    (mask_kind, mask), (photo_kind, photo) = [(kind, image) for kind, image in page.images() if image.size in ((20, 12), (80, 48))]
    assert (mask_kind, photo_kind) == ("image/png", "image/jpeg")
    assert np.array_equal(np.asarray(mask), MASK)
    assert np.abs(np.asarray(photo).astype(int) - PHOTO).mean() < 3


def test_a_lossless_photo_is_kept_to_the_bit():
    [(kind, image)] = read_page(html.page("t", "l", html.picture_row([Picture(PHOTO, lossless=True)]))).images()
    assert kind == "image/png"
    assert np.array_equal(np.asarray(image), PHOTO)


def test_plots_have_a_light_and_a_dark_version_that_differ_in_text_only():
    plot = html.line_plot("Rate", "epoch", [1, 2, 3, 4], {"a": [3, 2, 1, 0.5]})
    (_, dark), (_, light) = read_page(plot).images()
    dark, light = (np.asarray(image.convert("RGBA")).astype(int) for image in (dark, light))
    assert dark.shape == light.shape
    assert (light[..., 3] == 0).mean() > 0.7  # transparent: the page's own background shows
    ink = [image[image[..., 3] == 255][:, :3] for image in (dark, light)]
    assert ink[0].max() > 150  # light text on dark
    assert ink[1].min() < 100
    assert "a from 3 to 0.5" in plot


def test_backticks_become_code_and_html_stays():
    assert html.escape("run `a<b`, then") == "run <code>a&lt;b</code>, then"
    assert html.escape(html.escape("`a` & b")) == "<code>a</code> &amp; b"


def test_a_link_leads_to_a_file_beside_the_report_only():
    with pytest.raises(AssertionError):
        html.link("https://example.org")


def test_a_page_is_written_once_unless_told_otherwise(tmp_path):
    path = tmp_path / "report.html"
    html.write_page(path, html.page("First · ü", "lead"))
    with pytest.raises(OutputExistsError, match="overwrite"):
        html.write_page(path, html.page("Second", "lead"))
    assert "First · ü" in path.read_text(encoding="utf-8")
    html.write_page(path, html.page("Second", "lead"), overwrite=True)
    assert "Second" in path.read_text(encoding="utf-8")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_photos_of_a_scene_keep_the_page_small():
    noise = rng.integers(0, 60, (640, 640, 3))
    smooth = np.asarray(Image.fromarray(rng.integers(0, 190, (40, 40, 3), dtype=np.uint8)).resize((640, 640)))
    page = html.page("t", "l", html.picture_row([Picture((smooth + noise).astype(np.uint8))]))
    buffer = io.BytesIO()
    Image.fromarray((smooth + noise).astype(np.uint8)).save(buffer, format="PNG")
    assert len(page) < 0.6 * len(buffer.getvalue())


def test_noise_is_a_picture_too():
    noise = np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8)  # compresses to more than a photo of its size
    row = html.picture_row([Picture(noise, "noise")])
    assert read_page(row).images()[0][1].size == (512, 512)


def test_pictures_that_belong_together_stay_in_one_cell_of_the_row():
    groups = html.picture_groups(
        [[Picture(PHOTO, name), Picture(MASK, f"mask of {name}")] for name in ("one", NASTY)], heading=NASTY
    )
    first, second = groups.split('<div class="group">')[1:]
    assert "--columns: 2" in groups and first.count("<figure>") == second.count("<figure>") == 2
    assert "mask of one" in first and "mask of one" not in second
    assert NASTY not in groups and groups.count(html.escape(NASTY)) >= 3
