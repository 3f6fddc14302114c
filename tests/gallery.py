"""The teachers' widgets as the tests compute them, to be compared with what a browser shows."""

from __future__ import annotations

from regrow_companion import session, widgets
from regrow_companion.widgets import examples
from regrow_companion.widgets.panel import Panel


def gallery() -> list[Panel]:
    """What the notebook shows, computed here."""
    records = session.start("widgets").records("fig05")
    return [widgets.density(), widgets.update_step(), widgets.rich_get_richer(),
            widgets.power_law(examples.final_degrees(records)), widgets.shells(), widgets.dormancy(records),
            widgets.heat_map(records), widgets.schedules()]


def picture_of(shown: str) -> str:
    return shown.partition('src="')[2].partition('"')[0]
