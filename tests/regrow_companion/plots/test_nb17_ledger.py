"""The ledger's picture: distances have the right sign and size, and every claim with an interval has its line."""

from __future__ import annotations

import numpy as np
import pytest

from regrow_companion.claims import Entry
from regrow_companion.claims.effects import Effect, effect
from regrow_companion.claims.judgement import Claim, Outcome, Part, overall
from regrow_companion.plots.nb17_ledger import distances, ledger_figure


def entry(name: str, *effects: Effect) -> Entry:
    parts = tuple(Part(f"part {n}", (one,)) for n, one in enumerate(effects))
    return Claim(name, "5", "A claim."), Outcome(overall(parts), parts)


YES, NO = effect("a", [5.0, 5.1, 4.9, 5.0, 5.1], 1.0), effect("b", [5.0, 5.1, 4.9, 5.0, 5.1], 1.0, above=False)
ENTRIES = [entry("true", YES), entry("split", YES, NO), entry("false", NO),
           entry("ratio", effect("c", [4.0, 4.1, 3.9, 4.0, 4.0], 2.0, kind="ratio")),
           entry("unclear", effect("d", [-1.0, 1.0, 0.5, -0.5, 0.1])), entry("exact", effect("e", [3.0] * 5)),
           entry("at the threshold", effect("f", [0.0] * 5)),
           entry("steady", effect("g", [5.0, 5.1, 4.9, 5.0, 5.1], 50.0, kind="spread", above=False)),
           entry("few", effect("h", [1.0, 2.0])), entry("unmeasured")]


def test_distances_point_to_what_is_claimed() -> None:
    frame = distances(ENTRIES).set_index("claim")
    assert frame.loc["true", "distance"] > 1 and frame.loc["false", "distance"] < -1
    assert frame.loc["true", "distance"] == pytest.approx(-frame.loc["false", "distance"])
    assert frame.loc["ratio", "distance"] > 1 and abs(frame.loc["unclear", "distance"]) < 1
    assert frame.loc["exact", "distance"] == np.inf and frame.loc["at the threshold", "distance"] == -np.inf
    assert {"few", "unmeasured"}.isdisjoint(frame.index), "no interval, no mark"


@pytest.mark.parametrize("threshold", [0.03, 0.05, 0.1, 0.3, 3.0])
def test_a_distance_beyond_one_is_a_verdict_whatever_the_interval_is_like(threshold: float) -> None:
    one = effect("", [5.0, 5.1, 4.9, 5.0, 5.1], threshold, kind="spread")
    distance = distances([entry("one", one)])["distance"].iloc[0]
    assert (distance > 1, distance < -1) == (one.verdict == "reproduced", one.verdict == "not reproduced")


def test_every_claim_with_an_interval_has_a_line_reproduced_ones_first() -> None:
    fig, frame = ledger_figure(ENTRIES)
    labels = [text.get_text() for text in fig.axes[0].get_yticklabels()]
    assert labels == ["true", "ratio", "exact", "steady", "split", "unclear", "false", "at the threshold"]
    assert set(labels) == set(frame["claim"]) and len(frame) == 9
