"""Notebook 15, Boltzmann machines."""

from __future__ import annotations

import numpy as np

from prose import measures as m
from prose.said import Said, about
from regrow_companion import study
from regrow_companion.plots.nb11_heat_maps import input_maps

PAGE = "notebooks/15_rbms.ipynb"
EXCUSED = {
    "All are 0 or 1": "a definition",
    "a machine of 4 + 3 units": "the toy of the cell below",
    "lower, by about 20 nats (standard deviation 8)": "printed by the notebook, whose estimates take a minute",
    "has $2^{784}$ terms": "two to the number of pixels",
    "four pixels make 16 images": "two to the fourth",
    "Hinton (2002)": "a year",
    "(1 for a random graph)": "a definition",
    "does not return to 1": "a definition",
    "and after 1000 steps:": "a setting of the cell below",
    "after 1000 Gibbs steps": "a setting of the cell below",
    "after 1000 steps; `torch": "a setting of the cell below",
    "with 10, 100 and 1000 steps": "an exercise",
    "after 10 steps than after 1000?": "an exercise",
}


def peaks(need: str) -> list[float]:
    """The largest degree of the mean map at the first update's moment and at the end, by rule."""
    found = []
    for group in study.by_method(m.of_need(need)).values():
        mean = np.mean([input_maps(record) for record in group], axis=0)
        found += [mean[1].max(), mean[-1].max()]
    return found


def units(need: str) -> tuple[int, int]:
    """Hidden and visible ones."""
    return m.of_need(need)[0].shapes["rbm"]


def per_pixel(need: str) -> float:
    record = m.of_need(need)[0]
    return record.connections["rbm"] / record.shapes["rbm"][1]


def energy(grow: str) -> float:
    """Free energy of validation images at the end, small machines, mean over seeds."""
    return float(np.mean([record.measures["free energy, validation"][-1]
                          for record in study.by_method(m.of_need("fig16"))[grow]]))


MAP = "random {} and {}; gradient {} and {}; momentum {} and {}.](../figures/"
SAID = [
    Said("needs {} restricted Boltzmann machines", lambda: (m.planned("fig15", "fig16"),)),
    Said("{} visible units and {} (big) or {} (small) hidden ones",
         lambda: (units("fig15")[1], units("fig15")[0], units("fig16")[0])),
    Said("For {} pixels nobody", lambda: (units("fig15")[1],)),
    Said("Figure 15. Degrees of the visible units, {} hidden units", lambda: (units("fig15")[0],)),
    Said("Figure 16. Degrees of the visible units, {} hidden units", lambda: (units("fig16")[0],)),
    Said("chains of machines with {} hidden units", lambda: (units("fig16")[0],)),
    Said(f"{MAP}fig15.png", lambda: peaks("fig15")),
    Said(f"{MAP}fig16.png", lambda: peaks("fig16")),
    Said("Above, full scale: MNIST, {} epochs, {} seeds",
         lambda: (m.of_need("fig15")[0].config.epochs, len(m.of_need("fig15")) / 3)),
    Said("machines trained on {} images of clothes for {} epochs",
         lambda: (study.QUICK_RBM["train_limit"], study.QUICK_RBM["epochs"])),
    Said("{} a pixel instead of {}", lambda: (per_pixel("fig16"), per_pixel("fig15"))),
    Said("random and momentum growth differ by {} nats in free energy",
         lambda: (about(abs(energy("random") - energy("momentum")), 10),)),
]
