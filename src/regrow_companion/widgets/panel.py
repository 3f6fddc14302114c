"""A teaching widget in a notebook with a kernel: plain ipywidgets that draw again when a control is moved."""

from __future__ import annotations

import gc
import os
from typing import Any

import ipywidgets as ipw
from IPython.display import HTML

from regrow_companion.widgets import still
from regrow_companion.widgets.description import Control, Options, State, Widget
from regrow_companion.widgets.pictures import View

STATIC = "REGROW_STATIC_WIDGETS"  # set it to 1 where a notebook is executed for a page without a kernel


class Panel(ipw.VBox):
    """Controls with play and pause, the picture, and the read-out of a widget.

    With the environment variable REGROW_STATIC_WIDGETS=1 a notebook shows the still form instead, which stays alive in
    an exported page.
    """

    def __init__(self, widget: Widget) -> None:
        self.widget = widget
        self.state: State = {}
        self.moving = False
        start = widget.state()
        self.controls = {name: _slider_or_menu(widget.controls[name], offered, start[name])
                         for name, offered in widget.offers(start).items()}
        played = self.controls[widget.plays]
        # It begins where the slider stands, for in the browser the link begins by moving the slider to it.
        self.play = ipw.Play(value=played.index, max=len(played.options) - 1, interval=widget.beat, show_repeat=False)
        self.play_link = ipw.jslink((self.play, "value"), (played, "index"))  # kept alive here
        self.picture, self.readout = ipw.HTML(), ipw.HTML()
        for name, control in self.controls.items():
            control.observe(lambda change, name=name: self.move(**{name: change.new}), names="value")
        box = ipw.Box([*self.controls.values(), self.play], layout=ipw.Layout(flex_flow="row wrap"))
        super().__init__([box, self.picture, self.readout])
        self.add_class("regrow-widget")
        self.move()

    def view(self) -> View:
        """What the widget draws of the state."""
        return self.widget.draw(**self.state)

    def move(self, **wanted: Any) -> None:
        """Set controls to these values, with what depends on them, and show what the widget draws then."""
        state = self.widget.state(self.state | wanted)
        if self.moving or state == self.state:
            return
        self.state, self.moving = state, True  # what is set here needs no answer of its own
        for name, offered in self.widget.offers(state).items():
            control = self.controls[name]
            if control.options != tuple(offered):
                control.options = tuple(offered)
            control.value = state[name]
        self.play.max = len(self.controls[self.widget.plays].options) - 1
        self.moving = False
        # A figure is a tangle that only the garbage collector frees. Taken away while young it costs a millisecond;
        # left to grow old, half a second in the midst of some later answer.
        collecting = gc.isenabled()
        gc.disable()
        try:
            view = self.view()
            # Words first, so that both change at once when the picture is ready.
            self.readout.value, self.picture.value = view.readout, view.picture
        finally:
            if collecting:
                gc.enable()
            gc.collect(0)

    def static(self) -> HTML:
        """The still form: all pictures drawn beforehand, the same controls, no kernel and no network."""
        return HTML(still.form(self.widget))

    def _repr_mimebundle_(self, **options: Any) -> Any:
        if os.environ.get(STATIC) == "1":
            return {"text/html": self.static().data, "text/plain": "a teaching widget"}
        return super()._repr_mimebundle_(**options)


def _slider_or_menu(control: Control, offered: Options, value: Any) -> Any:
    kind = ipw.Dropdown if control.menu else ipw.SelectionSlider
    return kind(options=tuple(offered), value=value, description=control.label, style={"description_width": "10em"},
                layout=ipw.Layout(width="30em", max_width="100%"))
