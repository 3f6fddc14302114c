"""Notebook 11, which pixels a network looks at."""

from __future__ import annotations

import numpy as np

from prose import measures as m
from prose.findings import even
from prose.said import Said
from regrow_companion.plots.nb11_heat_maps import concentration, input_maps

PAGE = "notebooks/11_input_connectivity.ipynb"
EXCUSED = {
    "Row $y = 0$": "a convention",
    "the best connected 10 % of the pixels. 0.1 for a flat map, 1 if nothing else": "a definition",
    "1 for a symmetric map, 0 for one": "a definition",
    "Is the concentration then 0.1, and the mirror overlap 1?": "a question",
    "a concentration above 0.1 and an overlap below 1": "a definition",
    "(epoch 0)": "the start",
    "black is not 0": "a fact of normalisation",
    "is not 0 but about": "a fact of normalisation",
}
EPOCH_2, START, END = 1, 0, -1  # moments


def gain(grow: str) -> float:
    """Of the mirrored border over the black one, in test accuracy."""
    return m.accuracy(grow) - m.accuracy(grow, **m.BLACK)


def span(border: str, grows: str | tuple[str, ...], column: str) -> tuple[float, float]:
    return m.wired(border, grows, column)


def corners(border: str) -> tuple[float, float]:
    return m.wired(border, m.SCORES, "corners")


def concentrated_black() -> float:
    """The share of the best connected tenth of the pixels under gradient growth with the black border."""
    return 100 * float(np.mean([concentration(input_maps(record)[-1]) for record in m.topology("gradient", "black")]))


def black_pixel() -> float:
    """Normalised black of the images that ship with the package."""
    images = m.small_images()
    return float(-np.mean(images.mean) / np.mean(images.std))


def overlap_left() -> float:
    """How much lower the mirror overlap of the score rules is than that of random growth at the end."""
    return float(m.mapped("random", "mirror_overlap") - np.mean([m.mapped(rule,
    "mirror_overlap") for rule in m.SCORES]))


SAID = [
    Said("which is not {} at full scale", lambda: (0, m.mean_map("random").min() > 0)),
    Said("an even map would have {} connections everywhere", lambda: (m.mean_map("random").mean(),)),
    Said("gradient {} and {}; momentum {} and {}; random {} and {}.]",
         lambda: [end for rule in (*m.SCORES, "random") for end in m.low_high(m.mean_map(rule).ravel())]),
    Said("the paper's scale: {} runs of 300 epochs", lambda: (len(m.of_need("fig08")),)),
    Said("with twice the even number in its corners",
         lambda: (all(1.7 < corner / m.mean_map("random").mean() < 2.3 for rule in m.SCORES
                      for corner in (m.mean_map(rule)[0, 0], m.mean_map(rule)[0, -1])),)),
    Said("Largest degree at the end: random {}, gradient {}, momentum {}",
         lambda: [np.mean([run.input_degrees()[-1].max() for run in m.topology(rule)]) for rule in m.STRATEGIES]),
    Said("its standard deviation is {} before training, and at the end {} under random growth and about {} under the "
         "others. Under these two it was largest at epoch {2} ({} under gradient growth)",
         lambda: (m.input_spread("random")[0], m.input_spread("random")[-1],
                  np.mean([m.input_spread(rule)[-1] for rule in m.SCORES]), m.input_spread("gradient")[1],
                  all(np.argmax(m.input_spread(rule)) == 1 for rule in m.SCORES),
                  all((run.input_degrees()[-1] > 0).all() for rule in m.STRATEGIES for run in m.topology(rule)))),
    Said("as a multiple of the start: random {}, gradient {}, momentum {}", lambda: m.each(m.paths)),
    Said("black: random {}, gradient {}, momentum {}; mirrored: random {}, gradient {}, momentum {}",
         lambda: [m.mean_map(rule, border).max() for border in ("black", "mirrored") for rule in m.STRATEGIES]),
    Said("{} seeds of each. The mirrored border raises the test accuracy by {} points under random growth and by {} "
         "under the others, to within a point above the paper's; with the black one all three stay {} to {} points "
         "below it",
         lambda: (m.seeds("random"), gain("random"), np.mean(m.each(gain, m.SCORES)),
                  *m.low_high(-m.above_paper(rule, **m.BLACK) for rule in m.STRATEGIES),
                  round(gain("gradient"), 1) == round(gain("momentum"), 1),
                  all(0 < m.above_paper(rule) < 1 for rule in m.STRATEGIES))),
    Said("with them {} to {} % of the input's connections start on the four outermost pixels and {} to {} % in their "
         "corners, where an even spread has {} and {} %. With mirrored stripes these shares are {} to {} and {} %",
         lambda: (*m.wired("black", m.SCORES, "edge"), *corners("black"), *even(), *m.wired("mirrored", m.SCORES,
                  "edge"),
                  np.mean(corners("mirrored")), {round(share) for share in corners("mirrored")} == {8})),
    Said("dormant neurons (degree {10} or less) rise from {}-{} to {}-{} of {} under gradient growth and from {}-{} to "
         "{}-{} under momentum growth, neurons of hidden 1 without any connection from {}-{} to {}-{}, and the "
         "exponent of both layers together falls from {}-{} to {}-{}",
         lambda: (*span("black", "gradient", "dormant"), *span("mirrored", "gradient", "dormant"), m.hidden(),
                  *span("black", "momentum", "dormant"), *span("mirrored", "momentum", "dormant"),
                  *span("black", m.SCORES, "isolated"), *span("mirrored", m.SCORES, "isolated"),
                  *span("black", m.SCORES, "alpha"), *span("mirrored", m.SCORES, "alpha"))),
    Said("{}-{} dormant neurons instead of {}-{}, {}-{} isolated ones instead of {}-{}, an exponent of {}-{} instead "
         "of {}-{}",
         lambda: [end for column in ("dormant", "isolated", "alpha") for border in ("mirrored", "black")
                  for end in span(border, "random", column)]),
    Said("random growth doubles the paths, the others have about three and a half times as many",
         lambda: (abs(m.paths("random") - 2) < 0.1, all(3.3 < m.paths(rule) < 3.7 for rule in m.SCORES))),
    Said("the best connected tenth of the pixels holds {} % of the connections under gradient and momentum growth, {} "
         "% under random growth and {} % before training",
         lambda: (100 * np.mean([m.mapped(rule, "concentration") for rule in m.SCORES]),
                  100 * m.mapped("random", "concentration"), 100 * m.mapped("random", "concentration", START))),
    Said("It is largest at epoch {2}, with {} % for gradient growth. With the black border gradient growth ends at {} "
         "%",
         lambda: (100 * m.mapped("gradient", "concentration", EPOCH_2), concentrated_black(),
                  m.maps().loc["gradient", "concentration"].argmax() == EPOCH_2)),
    Said("{} and {} for gradient and momentum growth at epoch {2}, against {} for random growth. At the end only {} of "
         "the difference is left. Top to bottom it stays, {} to {} against {}",
         lambda: (m.mapped("gradient", "mirror_overlap", EPOCH_2), m.mapped("momentum", "mirror_overlap", EPOCH_2),
                  m.mapped("random", "mirror_overlap", EPOCH_2), overlap_left(),
                  *m.low_high(m.mapped(rule, "top_bottom") for rule in m.SCORES), m.mapped("random", "top_bottom"))),
    Said("but about {}, so its weights", lambda: (black_pixel(),)),
]
