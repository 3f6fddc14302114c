"""The pictures of the teaching widgets: what they are drawn on, and how they become HTML.

Pictures are drawn off-screen and never through pyplot, so nothing flickers and no figure stays open.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator
from numpy.typing import NDArray
from PIL import Image

from regrow_companion import style

INCH = 100  # pixels of the page per inch of a picture
SHARPNESS = 1.5  # pixels drawn per pixel of the page, for screens with more
COLOURS = 256  # of the palette that a picture is stored with

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class View:
    """One state of a widget: a picture, RGB [height, width, 3], what kind of picture it is, and what it shows in words.
    """

    pixels: Pixels
    alt: str
    text: str

    @property
    def picture(self) -> str:
        """The picture as HTML. It is decoded with the text around it (decoding=sync), so it never blinks."""
        height, width = (round(side / SHARPNESS) for side in self.pixels.shape[:2])
        return (f'<img decoding="sync" width="{width}" height="{height}" alt="{html.escape(self.alt)}" '
                f'style="display: block; max-width: 100%; height: auto" src="{address(png(self.pixels))}">')

    @property
    def readout(self) -> str:
        """The words as HTML that screen readers announce when they change."""
        return (f'<p role="status" aria-live="polite" style="margin: 0; max-width: {7 * INCH}px; line-height: 1.4">'
                f"{html.escape(self.text)}</p>")


def address(content: bytes) -> str:
    """A PNG as an address that holds it."""
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def png(pixels: Pixels) -> bytes:
    """A picture [height, width, 3 or 4] as a PNG with few colours; the same bytes for the same pixels."""
    out = io.BytesIO()
    few = Image.fromarray(pixels).quantize(COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    few.save(out, "png", compress_level=4)
    return out.getvalue()


@contextmanager
def paper(width: float, height: float) -> Iterator[Figure]:
    """A figure of so many inches in the house's style, whatever this process has set; axes are placed by hand.

    No layout engine: it would draw everything three times.
    """
    with mpl.rc_context():
        style.use_style()
        mpl.rcParams["figure.constrained_layout.use"] = False
        yield Figure(figsize=(width, height), dpi=INCH * SHARPNESS)


def pixels(fig: Figure) -> Pixels:
    """What the figure looks like, RGB [height, width, 3]."""
    canvas = FigureCanvasAgg(fig)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def axes(fig: Figure, place: tuple[float, float, float, float], *, title: str = "", xlabel: str = "", ylabel: str = "",
         room: tuple[float, float] = (0.25, 0.31)) -> Axes:
    """Axes at (left, bottom, width, height), in shares of the figure, with words at fixed places: to find places for
    them matplotlib would lay out all tick labels once more. `room` is the distance of the labels in inches, (x, y)."""
    ax = fig.add_axes(place)
    ax.set_title(title, y=1.03)
    width, height = place[2] * fig.get_figwidth(), place[3] * fig.get_figheight()
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.xaxis.set_label_coords(0.5, -room[0] / height)
    ax.yaxis.set_label_coords(-room[1] / width, 0.5)
    return ax


def ticks(ax: Axes, axis: str, at: Iterable[float], labels: Iterable[str] | None = None, *,
          log: bool = False) -> None:
    """Ticks at these places only. Logarithmic axes would otherwise spend most of the time on ticks."""
    if log:
        ax.set(**{f"{axis}scale": "log"})
    chosen = ax.xaxis if axis == "x" else ax.yaxis
    places = list(at)
    chosen.set_major_locator(FixedLocator(places))
    chosen.set_major_formatter(FixedFormatter(list(labels) if labels else [f"{t:,g}" for t in places]))
    chosen.set_minor_locator(NullLocator())
