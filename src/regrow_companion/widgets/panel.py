"""What every teaching widget shares: a pure function from its state to a picture with words, and the controls for it.

`draw(**state) -> View` knows nothing of widgets and is tested alone. A Panel shows its View and calls it again when a
control changes. Pictures are drawn off-screen and never through pyplot, so nothing flickers and no figure stays open.
"""

from __future__ import annotations

import base64
import gc
import html
import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ipywidgets as ipw
import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator
from PIL import Image

from regrow_companion import style

STATIC = "REGROW_STATIC_WIDGETS"  # set it to 1 where a notebook is executed for a page without a kernel
INCH = 100  # pixels of the page per inch of a picture
SHARPNESS = 1.5  # pixels drawn per pixel of the page, for screens with more
COLOURS = 256  # of the palette that a picture is stored with
FRAMES = 25  # of a static form, unless a widget says otherwise


@dataclass(frozen=True)
class View:
    """One state of a widget: a picture (PNG), what kind of picture it is, and what it shows in words."""

    png: bytes
    alt: str
    text: str

    @property
    def picture(self) -> str:
        """The picture as HTML. It is decoded with the text around it (decoding=sync), so it never blinks."""
        width, height = (round(int.from_bytes(self.png[at:at + 4], "big") / SHARPNESS) for at in (16, 20))
        data = base64.b64encode(self.png).decode()
        return (f'<img decoding="sync" width="{width}" height="{height}" alt="{html.escape(self.alt)}" '
                f'style="display: block; max-width: 100%; height: auto" src="data:image/png;base64,{data}">')

    @property
    def readout(self) -> str:
        """The words as HTML that screen readers announce when they change."""
        return (f'<p role="status" aria-live="polite" style="margin: 0; max-width: {7 * INCH}px; line-height: 1.4">'
                f"{html.escape(self.text)}</p>")


Draw = Callable[..., View]


@contextmanager
def paper(width: float, height: float) -> Iterator[Figure]:
    """A figure of so many inches in the house's style, whatever this process has set; axes are placed by hand.

    No layout engine: it would draw everything three times.
    """
    with mpl.rc_context():
        style.use_style()
        mpl.rcParams["figure.constrained_layout.use"] = False
        yield Figure(figsize=(width, height), dpi=INCH * SHARPNESS)


def png(fig: Figure) -> bytes:
    """The figure as a PNG with few colours; the same bytes for the same figure."""
    canvas = FigureCanvasAgg(fig)
    canvas.draw()
    pixels = Image.frombuffer("RGBA", canvas.get_width_height(), canvas.buffer_rgba()).convert("RGB")
    out = io.BytesIO()
    few = pixels.quantize(COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    few.save(out, "png", compress_level=4)
    return out.getvalue()


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


class Panel(ipw.VBox):
    """Controls, the picture, and the read-out. `walk` names the control that the static form moves along, `frames` how
    many of its values it has at most.

    With the environment variable REGROW_STATIC_WIDGETS=1 a notebook shows the static form instead, which stays alive
    in an exported page.
    """

    def __init__(self, draw: Draw, controls: Mapping[str, Any], walk: str, frames: int = FRAMES) -> None:
        self.draw, self.walk, self.frames = draw, walk, frames
        self.controls = {name: control for name, control in controls.items() if not isinstance(control, ipw.Play)}
        self.picture, self.readout = ipw.HTML(), ipw.HTML()
        box = ipw.Box([*controls.values()], layout=ipw.Layout(flex_flow="row wrap"))
        for control in self.controls.values():
            control.observe(self.answer, names="value")
        super().__init__([box, self.picture, self.readout])
        self.add_class("regrow-widget")
        self.shown: dict[str, Any] = {}
        self.answer()

    @property
    def state(self) -> dict[str, Any]:
        """What the controls say."""
        return {name: control.value for name, control in self.controls.items()}

    def view(self) -> View:
        """What `draw` makes of the state."""
        return self.draw(**self.state)

    def show(self, view: View) -> None:
        """Put a view on the page: words first, so that both change at once when the picture is ready."""
        self.readout.value = view.readout
        self.picture.value = view.picture

    def answer(self, _change: Any = None) -> None:
        """Show the view of a state that is not shown yet: one control may have moved another in the meantime."""
        if self.state == self.shown:
            return
        # A figure is a tangle that only the garbage collector frees. Taken away while young it costs a millisecond;
        # left to grow old, half a second in the midst of some later answer.
        collecting = gc.isenabled()
        gc.disable()
        try:
            self.show(self.view())
            self.shown = self.state
        finally:
            if collecting:
                gc.enable()
            gc.collect(0)

    def static(self) -> ipw.VBox:
        """A slider and a stack of frames drawn beforehand, joined in the browser: no kernel, no network.

        The slider moves `walk` along at most `frames` of its values, from where it is now; the other controls stay.
        """
        values = stops(self.controls[self.walk])
        places = np.unique(np.linspace(0, len(values) - 1, min(self.frames, len(values))).round().astype(int))
        views = [self.draw(**self.state | {self.walk: values[place]}) for place in places]
        start = int(np.argmin(np.abs(places - values.index(self.controls[self.walk].value))))
        stack = ipw.Stack([ipw.HTML(view.picture + view.readout) for view in views], selected_index=start)
        slider = ipw.IntSlider(start, 0, len(views) - 1, description=self.controls[self.walk].description,
                               readout=False, layout=wide(), style=labelled())
        form = ipw.VBox([slider, stack])
        form.link = ipw.jslink((slider, "value"), (stack, "selected_index"))  # kept from the garbage collector
        form.add_class("regrow-static")
        return form

    def _repr_mimebundle_(self, **options: Any) -> Any:
        shown: Any = self.static() if os.environ.get(STATIC) == "1" else super()
        return shown._repr_mimebundle_(**options)


def stops(control: Any) -> list[Any]:
    """Every value a control can take, in its order."""
    if isinstance(control, ipw.Checkbox):
        return [False, True]
    if hasattr(control, "options"):
        return [option[1] if isinstance(option, tuple) else option for option in control.options]
    return list(range(control.min, control.max + 1, control.step))


# ---------------------------------------------------------------------------------------------------------- controls

def wide() -> ipw.Layout:
    return ipw.Layout(width="30em", max_width="100%")


def labelled() -> dict[str, str]:
    return {"description_width": "9em"}


def choice(description: str, options: Sequence[Any], value: Any = None) -> ipw.Dropdown:
    """One of a few; options are values or (label, value) pairs."""
    return ipw.Dropdown(options=options, description=description, layout=wide(), style=labelled(),
                        **({} if value is None else {"value": value}))


def scale(description: str, options: Sequence[Any], value: Any, *, slow: bool = False) -> ipw.SelectionSlider:
    """A slider over given values; options are values or (label, value) pairs. `slow`: answer when it is let go."""
    return ipw.SelectionSlider(options=options, value=value, description=description, continuous_update=not slow,
                               layout=wide(), style=labelled())


def number(description: str, low: int, high: int, value: int, *, slow: bool = False) -> ipw.IntSlider:
    """A slider over whole numbers. `slow`: answer when it is let go."""
    return ipw.IntSlider(value, low, high, description=description, continuous_update=not slow, layout=wide(),
                         style=labelled())


def player(slider: ipw.IntSlider, milliseconds: int) -> ipw.Play:
    """Play and pause for a slider; joined in the browser, so that the slider also moves while the kernel draws."""
    play = ipw.Play(slider.value, slider.min, slider.max, interval=milliseconds, show_repeat=False,
                    description=f"play {slider.description}")
    slider.play_link = ipw.jslink((play, "value"), (slider, "value"))
    return play
