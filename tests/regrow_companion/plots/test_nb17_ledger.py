"""The ledger's picture: distances have the right sign and size, and every measured claim has its line."""

from __future__ import annotations

import numpy as np
import pytest

from regrow_companion.claims.judgement import Claim, Outcome, effect, judged
from regrow_companion.plots.nb17_ledger import distances, ledger_figure


def entry(name: str, *effects):
    outcome = judged(*effects) if effects else Outcome("not yet measured")
    return Claim(name, "5", "A claim.", (), lambda evidence: outcome), outcome


ENTRIES = [entry("true", effect("a", [5.0, 5.1, 4.9, 5.0, 5.1], 1.0)),
           entry("false", effect("b", [5.0, 5.1, 4.9, 5.0, 5.1], 1.0, above=False)),
           entry("ratio", effect("c", [4.0, 4.1, 3.9, 4.0, 4.0], 2.0, ratio=True)),
           entry("unclear", effect("d", [-1.0, 1.0, 0.5, -0.5, 0.1])), entry("exact", effect("e", [3.0] * 5)),
           entry("unmeasured")]


def test_distances_point_to_what_is_claimed() -> None:
    frame = distances(ENTRIES).set_index("claim")
    assert frame.loc["true", "distance"] > 1 and frame.loc["false", "distance"] < -1
    assert frame.loc["true", "distance"] == pytest.approx(-frame.loc["false", "distance"])
    assert frame.loc["ratio", "distance"] > 1 and abs(frame.loc["unclear", "distance"]) < 1
    assert np.isinf(frame.loc["exact", "distance"]) and "unmeasured" not in frame.index


def test_every_measured_claim_has_a_line_reproduced_ones_first() -> None:
    fig, frame = ledger_figure(ENTRIES)
    labels = [text.get_text() for text in fig.axes[0].get_yticklabels()]
    assert labels == ["true", "ratio", "exact", "unclear", "false"] and len(frame) == 5
