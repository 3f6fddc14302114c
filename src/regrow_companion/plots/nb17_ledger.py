"""The ledger of claims as a picture: how far every effect lies on the claimed side (notebook 17)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from regrow_companion.claims import Entry
from regrow_companion.claims.effects import FEWEST, NOT_REPRODUCED, REPRODUCED, UNDECIDED
from regrow_companion.claims.judgement import IN_PART

LOOK = {REPRODUCED: ("#0072B2", "o"), IN_PART: ("#CC79A7", "s"), UNDECIDED: ("#767676", "D"),
        NOT_REPRODUCED: ("#D55E00", "X")}
FAR = 30.0  # half-widths; what lies farther away is drawn there


def distances(entries: Sequence[Entry]) -> pd.DataFrame:
    """A row per effect with an interval: its distance from the threshold, towards the claimed side, in half-widths.

    Above 1 the whole interval is on the claimed side, below -1 on the other. Where all seeds agree exactly the interval
    has no width and the distance is infinite.
    """
    rows = []
    for claim, outcome in entries:
        for part in outcome.parts:
            for one in part.effects:
                if len(one.values) < FEWEST:
                    continue
                low, high = one.interval
                mean, threshold = one.mean, one.threshold
                if one.kind == "ratio":
                    low, high, mean, threshold = np.log([low, high, mean, threshold])
                gap = (mean - threshold) * (1 if one.above else -1)
                half = mean - low if mean > threshold else high - mean  # towards the threshold
                distance = gap / half if half > 0 else np.copysign(np.inf, gap or -1)
                rows.append({"claim": claim.id, "section": claim.section, "verdict": outcome.verdict, "part": part.name,
                             "effect": one.label, "mean": one.mean, "threshold": one.threshold,
                             "distance": float(distance)})
    return pd.DataFrame(rows)


def ledger_figure(entries: Sequence[Entry]) -> tuple[Figure, pd.DataFrame]:
    """A line per claim with a mark per effect that has an interval, reproduced claims first. The frame is
    `distances(entries)`."""
    frame = distances(entries)
    drawn = set(frame["claim"])
    order = [claim.id for verdict in LOOK for claim, outcome in entries
             if outcome.verdict == verdict and claim.id in drawn]
    fig, ax = plt.subplots(figsize=(7, 1.1 + 0.19 * len(order)))
    ax.axvspan(-1, 1, color="#EEEEEE", zorder=0)
    ax.axvline(0, color="black", linewidth=0.8)
    for row, name in enumerate(order):
        group = frame[frame["claim"] == name]
        colour, marker = LOOK[group["verdict"].iloc[0]]
        ax.plot(group["distance"].clip(-FAR, FAR), np.full(len(group), row), marker, color=colour, markersize=5,
                markeredgecolor="white", markeredgewidth=0.5, clip_on=False)
    ax.set_xscale("symlog", linthresh=1)
    ticks = [-30, -10, -3, -1, 0, 1, 3, 10, 30]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.set(yticks=range(len(order)), yticklabels=order, xlim=(-FAR, FAR), ylim=(len(order) - 0.4, -0.6),
           ylabel="claim",
           xlabel="distance from the threshold, towards what the paper says, in half-widths of the interval")
    ax.minorticks_off()
    ax.grid(axis="y", color="#E5E5E5", linewidth=0.6)
    handles = [Line2D([], [], color=colour, marker=marker, linestyle="none", label=verdict)
               for verdict, (colour, marker) in LOOK.items()]
    fig.legend(handles=handles, loc="outside upper center", ncols=len(LOOK))
    plt.close(fig)
    return fig, frame
