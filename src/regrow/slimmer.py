"""Smaller files of the same picture: what no eye can see is left out of an svg or png before it is written."""

from __future__ import annotations

import io
import re

import numpy as np
from PIL import Image, PngImagePlugin

# Places and lengths in points. Other attributes, texts and scales keep all their digits.
_PLACES = re.compile(rb'(?<=[\s(])(?:(?:d|x|y|width|height|points)="[^"]*"|transform="[^"]*")')
_MOVES = re.compile(rb"translate\([^)]*\)")
_LONG = re.compile(rb"-?\d+\.\d{3,}(?![\de])")
_BETWEEN = re.compile(rb">\s*\n\s*<")
_WITHIN = re.compile(rb'(?<=[ "])d="[^"]*"')

COLOURS = 256
# A palette stands in for all colours if no pixel moves by more than FURTHEST of 255 steps, and hardly any by more than
# CLOSE: edges of lines do, areas of a heat map or of its colour bar must not, since there the eye sees steps.
FURTHEST, CLOSE, HARDLY_ANY = 64, 8, 1 / 500


def svg(content: bytes) -> bytes:
    """The svg with places rounded to a hundredth of a point and without indentation."""
    content = _PLACES.sub(lambda found: _rounded_attribute(found[0]), content)
    content = _WITHIN.sub(lambda found: found[0].replace(b" \n", b" "), content)
    return _BETWEEN.sub(b">\n<", content)


def _rounded_attribute(attribute: bytes) -> bytes:
    if attribute.startswith(b"transform"):
        return _MOVES.sub(lambda found: _rounded(found[0]), attribute)
    return _rounded(attribute)


def _rounded(text: bytes) -> bytes:
    def short(found: re.Match[bytes]) -> bytes:
        digits = (b"%.2f" % float(found[0])).rstrip(b"0").rstrip(b".")
        return b"0" if digits == b"-0" else digits

    return _LONG.sub(short, text)


def png(content: bytes) -> bytes:
    """The png without an alpha channel that says nothing, and with a palette where that is as good; texts stay."""
    with Image.open(io.BytesIO(content)) as picture:
        picture.load()
        texts = PngImagePlugin.PngInfo()
        for key, text in getattr(picture, "text", {}).items():
            texts.add_text(key, text)
        how = {"pnginfo": texts, "dpi": picture.info.get("dpi", (72, 72)), "optimize": True}
        whole = picture.convert("RGBA")
    if whole.getchannel("A").getextrema() != (255, 255):
        return content
    colours = whole.convert("RGB")
    few = colours.quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    moved = np.abs(np.asarray(few.convert("RGB"), dtype=np.int16) - np.asarray(colours, dtype=np.int16)).max(axis=2)
    out = io.BytesIO()
    as_good = moved.max() <= FURTHEST and (moved > CLOSE).mean() <= HARDLY_ANY
    (few if as_good else colours).save(out, "png", **how)
    return out.getvalue()
