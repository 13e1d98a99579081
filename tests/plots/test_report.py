"""A report page: well formed, escaped, self-contained, in the page's own colours."""

import base64
import html.parser
import io
import re

import numpy as np
import pytest
from PIL import Image

from dlcv_tf.errors import InputError
from dlcv_tf.plots import curves, pictures, report, style
from dlcv_tf.plots.report import Code, Heading, Picture, Table, Text, Tiles

VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(html.parser.HTMLParser):
    """Collects the elements of a page and checks that they close in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.text = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def images(count=3):
    return np.arange(count * 64, dtype=np.uint8).reshape(count, 8, 8, 1)


def full_page():
    history = {"loss": [2.0, 1.0], "val_loss": [2.1, 1.2], "accuracy": [0.4, 0.8]}
    sections = [
        Text("Opening lines.\n\nA second paragraph with `code`."),
        Tiles([("99.2%", "test accuracy", "357 of 360"), ("71 s", "training", "")]),
        Heading("Training"),
        Picture(
            curves.training_curves(history, {"log C": 2.3}),
            "the loss falls",
            "per epoch",
            narrow=curves.training_curves(history, width=style.NARROW),
        ),
        Heading("Pictures"),
        Picture(pictures.grid(images(), ["a", "b", "c"]), "three digits"),
        Picture(pictures.grid(images(), ["a", "b", "c"]), "the same three again"),
        Heading("Table"),
        Table(["format", "size"], [["onnx", 12345], ["tflite", None]], "sizes"),
        Code("# serve\ndlcv serve", "next"),
    ]
    return report.html("A report", sections)


def test_the_page_is_well_formed_and_semantic():
    page = Page(full_page())
    assert page.open == []
    for tag in ("main", "header", "h1", "title", "table", "thead", "tbody", "dl", "pre"):
        assert len(page.all(tag)) == 1, tag
    assert page.all("html")[0]["lang"] == "en"
    assert len(page.all("h2")) == 3 and len(page.all("section")) == 4
    headings = {attributes["id"] for attributes in page.all("h2")}
    assert {a["aria-labelledby"] for a in page.all("section") if "aria-labelledby" in a} == headings
    assert "Opening lines." in page.text


def test_the_page_refers_to_nothing_outside_itself():
    written = full_page()
    assert "http:" not in written and "https:" not in written and "@import" not in written
    page = Page(written)
    for tag, attributes in page.elements:
        assert tag not in ("script", "link", "iframe")
        for name in ("src", "href", "xlink:href"):
            assert attributes.get(name, "#").startswith(("#", "data:"))
    assert re.findall(r"url\((?!#)", written) == []


def test_ids_are_unique_and_every_reference_is_met():
    written = full_page()
    ids = [a["id"] for _, a in Page(written).elements if "id" in a]
    assert len(ids) == len(set(ids))
    references = set(re.findall(r'url\(#([^)"]+)\)|href="#([^"]+)"', written))
    met = {one or other for one, other in references}
    assert met and met <= set(ids)


def test_pictures_keep_their_pixels_and_have_descriptions():
    written = full_page()
    page = Page(written)
    assert [svg["aria-label"] for svg in page.all("svg")] == [
        "the loss falls",
        "the loss falls",
        "three digits",
        "the same three again",
    ]
    assert all(svg["role"] == "img" for svg in page.all("svg"))
    embedded = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(a["xlink:href"].split(",")[1]))))
        for a in page.all("image")
    ]
    assert len(embedded) == 6
    for shown, original in zip(embedded, [*images(), *images()], strict=True):
        np.testing.assert_array_equal(shown[..., :1], original)


def test_figures_follow_the_page_in_colour_and_font():
    written = full_page()
    drawings = "".join(re.findall(r"<svg.*?</svg>", written, re.DOTALL))
    assert "var(--accent)" in drawings and "var(--ink)" in drawings
    assert not any(colour in drawings for colour in style.LIGHT.values())
    assert "font-family" not in drawings
    assert ">log C 2.300<" in drawings  # text, not outlines
    for colour in [*style.LIGHT.values(), *style.DARK.values()]:
        assert colour in written  # in the style sheet
    assert "prefers-color-scheme: dark" in written and "@media print" in written


def test_the_same_report_is_the_same_text():
    assert full_page() == full_page()


HOSTILE = "<script>alert('x')</script> & \"quotes\" <!-- -->"


@pytest.mark.parametrize(
    "section",
    [
        Heading(HOSTILE),
        Text(HOSTILE),
        Text(f"`{HOSTILE}`"),
        Tiles([(HOSTILE, HOSTILE, HOSTILE)]),
        Table([HOSTILE], [[HOSTILE]], HOSTILE),
        Code(HOSTILE, HOSTILE),
        Code(f"# {HOSTILE}"),
        Picture(pictures.grid(images(1), [HOSTILE], 1), HOSTILE, HOSTILE),
    ],
)
def test_everything_is_escaped(section):
    page = Page(report.html(HOSTILE, [section]))
    assert page.open == [] and page.all("script") == []
    assert HOSTILE in "".join(page.text)
    if isinstance(section, Picture):
        assert page.all("svg")[0]["aria-label"] == HOSTILE


@pytest.mark.parametrize("label", [style.LIGHT["ink"], "font-family: x; y", ' id="z" end'])
def test_what_looks_like_svg_in_a_label_stays(label):
    written = report.html("t", [Picture(pictures.grid(images(1), [label], 1), "d")])
    assert label.strip() in "".join(Page(written).text)


def test_a_label_in_a_script_that_the_font_lacks_is_kept():
    written = report.html("t", [Picture(pictures.grid(images(1), ["猫"]), "d")])
    assert "猫" in "".join(Page(written).text)


def test_columns_of_numbers_are_aligned_right():
    rows = [["onnx", 1234567, 0.123456, "1.2e-07", "3.4 ms", "99.2%", "v1.2", None]]
    rows += [["tflite", 5, None, "", "< 12 µs", "7.1", "2", None]]
    columns = ["format", "bytes", "a", "b", "c", "d", "version", "none"]
    written = report.html("t", [Table(columns, rows)])
    kinds = [a.get("class") for a in Page(written).all("th")][: len(columns)]
    assert kinds == [None, *["number"] * 5, None, None]
    for cell in ("1,234,567", "0.1235", "–"):
        assert f'<td class="number">{cell}</td>' in written
    assert written.count('<th scope="row">') == 2


def test_a_long_cell_may_break_and_an_empty_table_is_only_its_head():
    page = Page(report.html("t", [Table(["a", "b"], [["x", "long words " * 9]])]))
    assert [a.get("class") for a in page.all("td")] == ["long"]
    empty = Page(report.html("t", [Table(["a", "b"], [])]))
    assert len(empty.all("th")) == 2 and empty.all("td") == []


def test_a_narrow_twin_is_shown_instead_on_a_phone():
    written = full_page()
    page = Page(written)
    classes = [a.get("class") for a in page.all("div")]
    assert classes.count("has-narrow") == classes.count("wide") == classes.count("narrow") == 1
    assert ".has-narrow .wide { display: none }" in written


def test_comments_are_set_back():
    written = report.html("t", [Code("# a < b\ndlcv serve\n")])
    assert '<code><span class="comment"># a &lt; b</span>\ndlcv serve</code>' in written


def test_wrong_sections_are_errors():
    with pytest.raises(InputError, match=r"got a row of 1 cells \['x'\], expected 2"):
        report.html("t", [Table(["a", "b"], [["x"]])])
    with pytest.raises(InputError, match="got a section of type str, expected one of Heading"):
        report.html("t", ["text"])
