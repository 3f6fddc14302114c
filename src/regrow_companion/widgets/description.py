"""What a teaching widget is, once for both of its forms: live in JupyterLab (panel.py), still on a page (still.py).

`draw(**state) -> View` is a pure function of what the controls say and knows nothing of forms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from regrow_companion.widgets.pictures import View

Draw = Callable[..., View]
Options = Sequence[tuple[str, Any]]  # (what it is called, value); the names differ from each other
State = dict[str, Any]


def distinct(options: Options) -> Options:
    """Options with a number beside the names that repeat, for a name says which option is meant."""
    names = [name for name, _ in options]
    return [(name if names.count(name) == 1 else f"{name} ({i})", value) for i, (name, value) in enumerate(options)]


@dataclass(frozen=True)
class Control:
    """A slider over `options`, or a list to choose from (`menu`); it starts at the value `start`.

    Options may depend on the controls before this one: then they are a function of those controls' values, by keyword.
    `live_only` controls keep their start in the still form, which cannot draw every combination beforehand.
    """

    label: str
    options: Options | Callable[..., Options]
    start: Any
    menu: bool = False
    live_only: bool = False

    def offered(self, before: Mapping[str, Any]) -> Options:
        """The options that are left when the controls before it say so."""
        return self.options(**before) if callable(self.options) else self.options


@dataclass(frozen=True)
class Widget:
    """The controls by name, in their order; what they draw; the slider that play and pause move, and its milliseconds
    per step."""

    draw: Draw
    controls: Mapping[str, Control]
    plays: str
    beat: int = 700

    def state(self, wanted: Mapping[str, Any] | None = None) -> State:
        """Where the controls stand: as wanted; a value that is not wanted, or no longer offered, gives way to its
        control's start."""
        asked = wanted or {}
        state: State = {}
        for name, control in self.controls.items():
            values = [value for _, value in control.offered(state)]
            state[name] = next((value for value in (asked.get(name), control.start) if value in values), values[0])
        return state

    def offers(self, state: Mapping[str, Any]) -> dict[str, Options]:
        """What every control offers in this state."""
        names = list(self.controls)
        return {name: control.offered({before: state[before] for before in names[:names.index(name)]})
                for name, control in self.controls.items()}
