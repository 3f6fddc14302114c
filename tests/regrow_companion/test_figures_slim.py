"""Pictures made smaller are still the same pictures: places move by less than anybody sees, texts not at all."""

from __future__ import annotations

import io
import re
from xml.etree import ElementTree

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from regrow_companion import figures

NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def drawn(fig: Figure, kind: str) -> bytes:
    buffer = io.BytesIO()
    fig.savefig(buffer, format=kind, metadata={"Title": "x = 1.23456", "Description": 'd="0.123456" μ'})
    plt.close(fig)
    return buffer.getvalue()


def curves() -> Figure:
    fig, (left, right) = plt.subplots(1, 2)
    left.plot(np.linspace(0, 1, 50), np.random.default_rng(0).random(50), marker="o", alpha=0.123)
    right.imshow(np.arange(16).reshape(4, 4))
    right.set_title("0.12345")
    return fig


def test_places_in_an_svg_move_by_less_than_a_hundredth_of_a_point() -> None:
    before = drawn(curves(), "svg")
    after = figures.slim_svg(before)
    assert len(after) < 0.95 * len(before) and figures.slim_svg(after) == after
    for one, other in zip(ElementTree.fromstring(before).iter(), ElementTree.fromstring(after).iter(), strict=True):
        assert one.tag == other.tag and (one.text or "").strip() == (other.text or "").strip()
        assert list(one.attrib) == list(other.attrib)
        for name, text in one.attrib.items():
            if name in ("d", "x", "y", "width", "height", "points", "transform"):
                assert NUMBER.sub("", text).split() == NUMBER.sub("", other.attrib[name]).split()
                places = [[float(n) for n in NUMBER.findall(side)] for side in (text, other.attrib[name])]
                np.testing.assert_allclose(*places, atol=0.00501, rtol=0)
            else:
                assert text == other.attrib[name]


def test_scales_in_an_svg_keep_their_digits() -> None:
    text = b'<g transform="translate(1.23456 -0.001) scale(0.015625)"><path d="M 0.123456 1 \nL 2 3 \n"/></g>'
    assert figures.slim_svg(text) == b'<g transform="translate(1.23 0) scale(0.015625)"><path d="M 0.12 1 L 2 3 "/></g>'


def test_a_png_keeps_its_texts_and_looks_the_same() -> None:
    before = drawn(curves(), "png")
    after = figures.slim_png(before)
    with Image.open(io.BytesIO(before)) as one, Image.open(io.BytesIO(after)) as other:
        assert other.mode == "P" and len(after) < 0.7 * len(before)
        assert one.text == other.text and one.size == other.size  # type: ignore[attr-defined]
        pixels = [np.asarray(picture.convert("RGB"), dtype=int) for picture in (one, other)]
    assert np.abs(pixels[0] - pixels[1]).max() <= figures.FURTHEST
    assert plt.imread(io.BytesIO(after)).shape[:2] == pixels[0].shape[:2]


def test_a_png_of_many_colours_keeps_them_all() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(colours).convert("RGBA").save(buffer, "png")
    with Image.open(io.BytesIO(figures.slim_png(buffer.getvalue()))) as after:
        assert after.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(after), colours)


def test_a_colour_bar_has_no_steps() -> None:
    """It keeps all its colours, also in a picture that a palette would hardly change."""
    fig = curves()
    fig.colorbar(mpl.cm.ScalarMappable(), cax=fig.axes[1].inset_axes((1.1, 0, 0.1, 1)), label="share")
    with Image.open(io.BytesIO(figures._picture(fig, "png", {"Title": "bar"}))) as after:
        assert after.mode == "RGB" and len(after.getcolors(2**24)) > 256


def test_a_rare_colour_is_not_lost() -> None:
    """One pink pixel in a field of blues: a palette that drops it is not used."""
    colours = np.zeros((200, 200, 3), dtype=np.uint8)
    colours[..., 2] = np.arange(200)
    colours[..., 1] = np.arange(200)[:, None] // 2
    colours[100, 100] = 255, 0, 127
    buffer = io.BytesIO()
    Image.fromarray(colours).save(buffer, "png")
    with Image.open(io.BytesIO(figures.slim_png(buffer.getvalue()))) as after:
        pixel = np.asarray(after.convert("RGB"), dtype=int)[100, 100]
    assert np.abs(pixel - (255, 0, 127)).max() <= figures.FURTHEST


def test_a_transparent_png_stays_as_it_is() -> None:
    buffer = io.BytesIO()
    Image.new("RGBA", (4, 4), (255, 0, 0, 128)).save(buffer, "png")
    assert figures.slim_png(buffer.getvalue()) == buffer.getvalue()
