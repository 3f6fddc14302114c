"""Notebook 05, the k-shells of a network."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd

from prose import measures as m
from prose.said import Said
from regrow.metrics import k_shells
from regrow_companion import study
from regrow_companion.plots import nb05_shells as shells

PAGE = "notebooks/05_k_shells.ipynb"
TOY = "the toy network of the page"
EXAMPLE = "the made-up network of Figure 10"
EXCUSED = {
    "inputs 0 to 3, hidden 4 to 6, outputs 7 and 8": TOY,
    "start with $k = 1$": "a definition",
    "| 1 | first | input 3 | it has no connection: shell 0 |": TOY,
    "| 2 | first | input 2, output 8 | one connection each: shell 1 |": TOY,
    "| 2 | second | hidden 6 | had two connections, but input 2 is gone: shell 1 as well |": TOY,
    "| 3 | first | inputs 0 and 1, output 7 | two connections left: shell 2 |": TOY,
    "| 3 | second | hidden 4 and 5 | nobody is left to be connected to: shell 2 |": TOY,
    "hidden 5 has degree 4": TOY,
    "Hidden 5 has the most connections": TOY,
    "so it ends in shell 2": TOY,
    "9-8-6-4": EXAMPLE,
    "shells 1 and 2 are the crust; the two inputs in shell 0": EXAMPLE,
    "Shell 3 is the backbone": EXAMPLE,
    "Every neuron of shell 3": EXAMPLE,
    "within shell 3": EXAMPLE,
    "and not at 0": "a definition",
    "keeps the masks at six moments; number 5 is the end": "what a record holds",
    "isolates no neuron within 30 epochs": "the length of quick's runs",
    "above shell 0": "a definition",
    "Inputs have 1,024 neighbours": "an exercise",
    "has at least 3,072: together they form a 1,024-core": "an exercise",
    "At $k = 1025$": "an exercise",
    "has only 512 neighbours": "an exercise",
    "Outputs have 512 neighbours": "an exercise",
    "30-10-5-2": "an exercise",
}


@cache
def backbone() -> pd.DataFrame:
    return shells.backbone(m.of_need("fig12")).set_index("method")


def mean(column: str, grow: str) -> float:
    return float(backbone().loc[grow, column].mean())


def span(column: str, grow: str) -> tuple[float, float]:
    return m.low_high(backbone().loc[grow, column])


def neurons() -> int:
    """Of hidden 1."""
    return m.topology("random")[0].shapes["fc1"][0]


def crust(grow: str) -> float:
    return neurons() - mean("core, hidden 1", grow) - mean("isolated, hidden 1", grow)


@cache
def before() -> list[list[np.ndarray]]:
    """Shells before training of each seed, a list of layers."""
    return [k_shells(shells.initial_masks(config)) for config in study.runs("fig12", "paper")
            if config.grow == "random"]


def highest() -> list[int]:
    return [int(max(layer.max() for layer in seed)) for seed in before()]


@cache
def example() -> np.ndarray:
    """How many neurons of Figure 10's network each shell has."""
    return np.bincount(np.concatenate(k_shells(shells.example_masks())))


def visible_in_core() -> int:
    """Inputs in the highest shell after training, in all 15 networks."""
    found = 0
    for record in m.of_need("fig12"):
        layers = k_shells(list(record.masks(5).values()))
        found += int((layers[0] == max(layer.max() for layer in layers)).sum())
    return found


def mean_degrees() -> list[float]:
    record = m.topology("random")[0]
    return [record.input_degrees()[0].mean(), *(layer.mean() for layer in record.hidden_layer_degrees(0))]


SAID = [
    Said("Left, a layered network of {} inputs, {} and {} hidden neurons and {} outputs, each neuron coloured and "
         "numbered by its shell from {0} to {}. Right, a bar chart: {} neurons in shell {0}, {} in shell {1}, {} in "
         "shell {2} and {} in shell {3}",
         lambda: (*shells.chain(shells.example_masks())[1], len(example()) - 1, *example())),
    Said("the mean degrees are {} (visible), {} (hidden 1) and {} (hidden 2)", mean_degrees),
    Said("a bell around shell {}, cut off at shells {} and {}, where bars pile up. Hidden 1 and hidden 2: nothing but "
         "one narrow bar at shells {} and {}",
         lambda: (np.bincount(np.concatenate([seed[0] for seed in before()]))[:min(highest())].argmax(),
                  *m.low_high(highest()),
                  *m.low_high(highest()))),
    Said("N = {} seeds, pale: largest count", lambda: (len(study.SEEDS),)),
    Said("apart from at most {} neurons of hidden 1. $k_{max}$ is {} in {} seeds and {} in {}, hence two bars",
         lambda: (max((layers[1] < top).sum() for layers, top in zip(before(), highest(), strict=True)), max(highest()),
                  highest().count(max(highest())), min(highest()), highest().count(min(highest())))),
    Said("makes the paper's last layer dense: {} neurons, each wired to all ten classes, for ever. These {} neurons "
         "form a {}-core",
         lambda: (m.topology("random")[0].shapes["fc3"][1], sum(m.topology("random")[0].shapes["fc3"]),
                  m.topology("random")[0].shapes["fc3"][0])),
    Said("can fall below shell {}; one that has lost all its inputs is found *at* {}",
         lambda: 2 * (m.topology("random")[0].shapes["fc3"][0],)),
    Said("means over seeds: random {} and {}; gradient {} and {}; momentum {} and {}",
         lambda: [mean(column, rule) for rule in m.STRATEGIES for column in ("k_max", "isolated, hidden 1")]),
    Said("the paper's scale: {} runs of 300 epochs", lambda: (len(m.of_need("fig12")),)),
    Said("At full scale {} (random), {} (gradient) and {} (momentum) of the {} neurons of hidden 1 are still in it at "
         "the end; {}, {} and {} form a crust",
         lambda: (*(mean("core, hidden 1", rule) for rule in m.STRATEGIES), neurons(), *m.each(crust))),
    Said("in none of our {} networks does an input reach the highest shell",
         lambda: (len(m.of_need("fig12")), visible_in_core() == 0)),
    Said("the highest shell is {} to {} under random, {} to {} under gradient and {} to {} under momentum growth",
         lambda: [end for rule in m.STRATEGIES for end in span("k_max", rule)]),
    Said("random growth isolates {} to {} neurons of hidden 1, nearly half of the layer; gradient growth isolates {} "
         "to {} and momentum growth {} to {}, more than a third more",
         lambda: (*(end for rule in m.STRATEGIES for end in span("isolated, hidden 1", rule)),
                  all(mean("isolated, hidden 1", rule) > 4 / 3 * mean("isolated, hidden 1", "random")
                      for rule in m.SCORES))),
    Said("with the black one the numbers were {} to {}, {} to {} and {} to {}",
         lambda: [end for rule in m.STRATEGIES for end in m.wired("black", rule, "isolated")]),
]
