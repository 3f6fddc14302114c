"""A teaching widget on a page without a kernel and without a network: every picture is drawn beforehand.

The form is one piece of HTML with its style, its script (assets/widgets/still.js) and its data: a tree of what each
control offers, whose leaves are frames. Most pixels of a picture stay as they are when a slider moves. So a row of
frames, along the last control, shares one picture, and a frame holds only the pixels that differ from it.
"""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.ndimage import maximum_filter

from regrow_companion.widgets.description import State, Widget
from regrow_companion.widgets.pictures import INCH, SHARPNESS, Pixels, View

COLOURS = 64  # of a picture; there are many of them
ASSETS = Path(__file__).resolve().parents[1] / "assets" / "widgets"


def form(widget: Widget) -> str:
    """The form as HTML. Draws every combination of what its controls offer, but for those that are live only."""
    names = [name for name, control in widget.controls.items() if not control.live_only]
    frames = _Frames()
    root = _node(widget, names, {}, frames)
    first: Any = root
    for _ in names:
        first = first["to"][first["start"]]
    under, over, text, alt = frames.frames[first]
    data = {"controls": [{"label": widget.controls[name].label, "menu": widget.controls[name].menu} for name in names],
            "plays": names.index(widget.plays), "beat": widget.beat, "root": root, "images": frames.images,
            "words": frames.words, "frames": frames.frames}
    island = json.dumps(data, separators=(",", ":")).replace("</", "<\\/")  # nothing in it ends the script element
    height, width = (round(side / SHARPNESS) for side in frames.shape)
    shown = (f'<img width="{width}" height="{height}" alt="{html.escape(frames.words[alt])}" '
             f'src="data:image/webp;base64,{frames.images[under]}"><img alt="" '
             f'src="data:image/webp;base64,{frames.images[over]}">')
    return (f'<div class="regrow-static" style="max-width: {7 * INCH}px"><style>{_asset("still.css")}</style>'
            '<div class="regrow-controls"></div><div class="regrow-scroll">'
            f'<div class="regrow-picture">{shown}</div></div>'
            f'<p role="status" aria-live="polite">{html.escape(frames.words[text])}</p>'
            f'<script type="application/json">{island}</script>'
            f'<script>{_asset("still.js")}</script></div>')


@cache
def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def _node(widget: Widget, names: Sequence[str], chosen: State, frames: _Frames) -> dict[str, Any]:
    """What the first of the controls `names` offers when those before it stand as `chosen`, and where each leads."""
    name, *rest = names
    state = widget.state(chosen)
    offered = widget.offers(state)[name]
    if rest:
        to: list[Any] = [_node(widget, rest, chosen | {name: value}, frames) for _, value in offered]
    else:
        to = frames.add([widget.draw(**widget.state(chosen | {name: value})) for _, value in offered])
    return {"words": [words for words, _ in offered], "to": to,
            "start": [value for _, value in offered].index(state[name])}


class _Frames:
    """Pictures and sentences, each once, and frames as the numbers of (picture below, picture above, sentence, alt)."""

    def __init__(self) -> None:
        self.images: list[str] = []
        self.words: list[str] = []
        self.frames: list[tuple[int, int, int, int]] = []
        self.shape: tuple[int, int] = (0, 0)  # of the last picture, in pixels
        self._numbers: dict[str, dict[Any, int]] = {"images": {}, "words": {}, "frames": {}}

    def add(self, row: Sequence[View]) -> list[int]:
        """The numbers of frames for a row of views of one size."""
        self.shape = row[0].pixels.shape[:2]
        below = np.median([view.pixels for view in row], axis=0).astype(np.uint8)
        under = self._number("images", _encoded(below))
        return [self._number("frames", (under, self._number("images", _encoded(_above(view.pixels, below))),
                                        self._number("words", view.text), self._number("words", view.alt)))
                for view in row]

    def _number(self, kind: str, thing: Any) -> int:
        numbers = self._numbers[kind]
        if thing not in numbers:
            numbers[thing] = len(numbers)
            getattr(self, kind).append(thing)
        return numbers[thing]


def _above(pixels: Pixels, below: Pixels) -> Pixels:
    """What to lay over `below` to see `pixels`: RGBA, transparent where they agree.

    With a margin: a browser that scales both pictures mixes what is below with what lies beside it.
    """
    opaque = maximum_filter(255 * (pixels != below).any(axis=2).astype(np.uint8), size=5)[..., None]
    return np.concatenate([np.where(opaque, pixels, 0), opaque], axis=2).astype(np.uint8)


def _encoded(pixels: Pixels) -> str:
    """WebP without loss, which takes half of what PNG takes here."""
    few = Image.fromarray(pixels)
    few = few.quantize(COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).convert(few.mode)
    out = io.BytesIO()
    few.save(out, "webp", lossless=True, method=4)
    return base64.b64encode(out.getvalue()).decode()
