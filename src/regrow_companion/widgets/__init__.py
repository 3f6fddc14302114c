"""Teaching widgets for notebooks: `from regrow_companion import widgets; widgets.density()`.

Each function returns a Panel, a box of plain ipywidgets: controls that the keyboard moves, play and pause, a picture,
and a read-out in words. `widgets.density().static()` is the same with all pictures drawn beforehand, which stays alive
in a page without a kernel.
"""

from regrow_companion.widgets.dormant import dormancy
from regrow_companion.widgets.growing import rich_get_richer
from regrow_companion.widgets.heat_over_time import heat_map
from regrow_companion.widgets.layer_density import density
from regrow_companion.widgets.one_update import update_step
from regrow_companion.widgets.panel import Panel
from regrow_companion.widgets.peeling import shells
from regrow_companion.widgets.pictures import View
from regrow_companion.widgets.rates import schedules
from regrow_companion.widgets.tail_fitting import power_law

ALL = {"density": density, "update_step": update_step, "rich_get_richer": rich_get_richer, "power_law": power_law,
       "shells": shells, "dormancy": dormancy, "heat_map": heat_map, "schedules": schedules}

__all__ = ["ALL", "Panel", "View", "density", "dormancy", "heat_map", "power_law", "rich_get_richer", "schedules",
           "shells", "update_step"]
