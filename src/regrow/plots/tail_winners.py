"""Which law describes the tails best while a network trains: the power law beside six others (Section 8 asks for it).

The functions take the table of `regrow.tail_series.tables`, a row for each run, layer and time.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from regrow.style import seed_band, style_of
from regrow.tail_series import POOLED
from regrow.tails.compare import NAMES, SIGNIFICANT

POWER_LAW = "power law"
# Lightness falls from one to the next, and a line parts them, so that they can be told apart without colour too.
COLOURS = {POWER_LAW: "#000000", "truncated power law": "#882255", "log-normal": "#CC6677",
           "stretched exponential": "#88CCEE", "exponential": "#332288", "negative binomial": "#DDCC77",
           "Poisson": "#DDDDDD"}
HATCHES = {"stretched exponential": "....", "exponential": "////", "negative binomial": "xxxx"}
RATIOS = ("log-normal", "truncated power law")


def winners(series: pd.DataFrame, periods: int = 12) -> pd.DataFrame:
    """Share of time points at which each law has the smallest AIC, by strategy, layer and period of training.

    Periods hold equally many of the table's times. Columns: strategy, layer, epoch (the middle of the period), law,
    share, time points (runs times updates).
    """
    tested = series[series["best"].notna()].copy()
    times, place = np.unique(tested["epoch"], return_inverse=True)
    periods = min(periods, times.size)
    tested["epoch"] = (place * periods // times.size + 0.5) * times[-1] / periods
    counts = tested.groupby(["strategy", "layer", "epoch", "best"], sort=False).size().rename("n").reset_index()
    total = counts.groupby(["strategy", "layer", "epoch"])["n"].transform("sum")
    return counts.assign(share=counts["n"] / total, total=total).drop(columns="n").rename(
        columns={"best": "law", "total": "time points"}).sort_values(["strategy", "layer", "epoch"], ignore_index=True)


def decided(series: pd.DataFrame, law: str) -> pd.DataFrame:
    """How often the likelihood ratio decides between the power law and `law` at p < 0.1, as fractions of time points.

    Columns: strategy, layer, power law, other, undecided.
    """
    tested = series[series[f"ratio {law}"].notna()]
    clear = tested[f"p {law}"] < SIGNIFICANT
    ours = clear & (tested[f"ratio {law}"] > 0)
    theirs = clear & (tested[f"ratio {law}"] < 0)
    keys = [tested["strategy"], tested["layer"]]
    frame = pd.DataFrame({POWER_LAW: ours.groupby(keys, sort=False).mean(),
                          "other": theirs.groupby(keys, sort=False).mean()})
    return frame.assign(undecided=1 - frame.sum(axis=1)).reset_index()


def winners_figure(series: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Above, a panel for each strategy: how often each law wins by AIC, seeds and updates of a period together.

    Below: log-likelihood of the power law minus that of the log-normal (left) and the truncated power law (right), per
    neuron of the tail, mean and band over seeds; below 0 the power law is the worse description. These begin after the
    first update: before training the ratios are many times as large. All hidden neurons.
    Frame: panel, strategy, epoch, law, value, sd.
    """
    pooled = series[series["layer"] == POOLED]
    strategies = list(pooled["strategy"].unique())
    fig = plt.figure(figsize=(7, 5.8))
    above, below = np.ravel(fig.subfigures(2, 1, squeeze=False, height_ratios=(1.15, 1)))
    top = above.subplots(1, len(strategies), sharey=True, squeeze=False)[0]
    shares, rows = winners(pooled), []
    for ax, strategy in zip(top, strategies, strict=True):
        part = shares[shares["strategy"] == strategy]
        table = part.pivot(index="epoch", columns="law", values="share").fillna(0.0)
        floor, width = np.zeros(len(table)), 0.96 * np.diff(table.index).min() if len(table) > 1 else 1.0
        for law in (name for name in COLOURS if name in table):
            ax.bar(table.index, table[law], width, bottom=floor, color=COLOURS[law], hatch=HATCHES.get(law),
                   edgecolor="white", linewidth=0.5)
            floor = floor + table[law].to_numpy()
        ax.set(title=style_of(strategy).label, xlabel="epoch", ylim=(0, 1), xlim=(0, pooled["epoch"].max()))
        rows.append(part.rename(columns={"share": "value"}).assign(panel="share", sd=np.nan))
    top[0].set_ylabel("share of time points won (AIC)")
    top[0].yaxis.set_major_formatter(PercentFormatter(1))
    seen = set(shares["law"])
    handles = [plt.Rectangle((0, 0), 1, 1, facecolor=COLOURS[law], hatch=HATCHES.get(law), edgecolor="white", label=law)
               for law in COLOURS if law in seen or law == POWER_LAW]
    above.legend(handles=handles, loc="outside lower center", ncols=4)
    bottom = below.subplots(1, len(RATIOS), sharex=True)
    for ax, law in zip(bottom, RATIOS, strict=True):
        for strategy in strategies:
            part = pooled[(pooled["strategy"] == strategy) & (pooled["update"] > 0)]
            per_neuron = part.assign(value=part[f"ratio {law}"] / part["n_tail"])
            curves = per_neuron.pivot(index="epoch", columns="seed", values="value").dropna()
            seed_band(ax, curves.index, curves.to_numpy().T, strategy)
            rows.append(pd.DataFrame({"panel": "ratio", "strategy": strategy, "epoch": curves.index, "law": law,
                                      "value": curves.mean(axis=1), "sd": curves.std(axis=1, ddof=1)}))
        ax.axhline(0, color="#000000", linewidth=0.8)
        ax.set(title=f"power law against {law}", xlabel="epoch", xlim=(0, pooled["epoch"].max()))
    bottom[0].set_ylabel("log-likelihood ratio per neuron")
    below.legend(*bottom[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(strategies))
    plt.close(fig)
    columns = ["panel", "strategy", "epoch", "law", "value", "sd"]
    return fig, pd.concat([part[columns] for part in rows], ignore_index=True)


assert set(COLOURS) == {POWER_LAW, *NAMES}
