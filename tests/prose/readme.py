"""README.md. The five findings stand on the site's first page as well, in the same words."""

from __future__ import annotations

import json
import re

from prose import measures as m
from prose.said import ROOT, Said, about, down

PAGE = "README.md"
EXCUSED = {"[notebooks 00 to 25]": "the names of the notebooks",
           "where 0.1 would be the usual threshold and 0.95 is the paper's":
               "the usual rule and the paper's"}


def hours() -> float:
    """Of reading, by the notebooks' headers."""
    heads = ["".join(json.loads(path.read_text())["cells"][0]["source"])
             for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))]
    return sum(int(re.search(r"read\s+(\d+)", head)[1]) for head in heads) / 60  # type: ignore[index]


def pythons() -> list[float]:
    """The versions that pyproject.toml allows."""
    first, behind = re.search(r'requires-python = ">=3\.(\d+),<3\.(\d+)"',  # type: ignore[union-attr]
                              (ROOT / "pyproject.toml").read_text()).groups()
    return [3 + minor / 100 for minor in range(int(first), int(behind))]


def gone(grow: str) -> float:
    """Share of hidden 1 without any incoming connection at the end, seed 0."""
    return float((m.topology(grow)[0].in_degree["fc1"][-1] == 0).mean())


SAID = [
    Said("Four panels of {} dots", lambda: (m.topology("random")[0].hidden_layer_degrees(0)[0].size,)),
    Said("with random growth half of the dots are gone and the others differ little; after gradient and momentum "
         "growth two thirds are gone and a few are very large",
         lambda: (abs(gone("random") - 1 / 2) < 0.06, all(abs(gone(rule) - 2 / 3) < 0.06 for rule in m.SCORES))),
    Said("say of {} statements of the paper", lambda: (m.claimed(),)),
    Said("random growth reaches {} %, momentum {} % and gradient {} % ({} seeds each; the paper has {}, {} and {}), a "
         "network that is never rewired {} %",
         lambda: (*m.each(m.accuracy, ("random", "momentum", "gradient")), m.seeds("random"),
                  *(m.printed(rule).mean for rule in ("random", "momentum", "gradient")),
                  m.accuracy(prune="none", grow="none"),
                  len({m.seeds(rule) for rule in m.STRATEGIES} | {m.seeds(prune="none", grow="none")}) == 1)),
    Said("The first of {} updates makes hubs of {} to {} connections under gradient and momentum growth; under random "
         "growth no neuron ever has more than {}",
         lambda: (len(m.topology("random")[0].steps) - 1,
                  *(about(k, 100) for k in m.low_high([*m.largest("gradient", 1), *m.largest("momentum", 1)])),
                  m.largest_ever("random"))),
    Said("Of {} hidden neurons {} to {} (gradient), {} to {} (momentum) and {} to {} (random) end with {10} "
         "connections or fewer; with random growth the first falls so low only after epoch {}",
         lambda: (m.hidden(), *m.low_high(m.dormant("gradient")), *m.low_high(m.dormant("momentum")),
                  *m.low_high(m.dormant("random")), down(min(m.first_dormant("random"))))),
    Said("from the second update to the end, the p of the paper's test is at most {} in every run of gradient and "
         "momentum growth",
         lambda: (m.tail(grows=m.SCORES, since=2)["p"].max(),
                  set(m.tail(grows=m.SCORES, since=2)["best"]) <= m.BENDING)),
    Said("the three rules reach {}, {} and {} %, {} to {} points below the paper",
         lambda: (*(m.accuracy(rule, **m.BLACK) for rule in m.STRATEGIES),
                  *m.low_high(-m.above_paper(rule, **m.BLACK) for rule in m.STRATEGIES))),
    Said("You need Python {}, {} or {}", pythons),
    Said("{} hours of reading", lambda: (hours(),)),
    Said("{} of the {} runs of the paper's grid", lambda: (len(m.listed()), m.grid())),
    Said("of the convolutional networks {} ConvNets", lambda: ((m.listed()["model"] == "convnet").sum(),)),
]
