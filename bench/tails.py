"""Power-law statistics against powerlaw (Python) and igraph (which wraps the C library plfit), in CPU time."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.table import Table
from bench.timing import TIMED_COLUMNS, Timing
from regrow.tails import laws
from regrow.tails.compare import compare_laws
from regrow.tails.fit import fit_tail, select_xmin
from regrow.tails.goodness import goodness_of_fit, sample
from regrow.tails.laws import Tail

COLUMNS = ("task", "method", *TIMED_COLUMNS, "times_ours")
XMIN, ALPHA = 110, 2.5
EXACT = {"estimate_discrete": False, "parameter_ranges": {"alpha": [1.0, None]}}  # powerlaw's: no estimate, no clipping
SIZES: dict[str, dict[str, int]] = {
    # sets: synthetic sets of one p; some: so many of them are run with the slow methods; n: values in the tail
    "tiny": {"rounds": 1, "sets": 20, "some": 2, "n": 60},
    "full": {"rounds": 5, "sets": 1000, "some": 40, "n": 900},
}
TIME_POINTS = 15 * 265  # of the paper's topology runs: 264 updates and the start


def run(size: str) -> Table:
    """One p at fixed xmin, choosing xmin, p with xmin chosen anew, a truncated power law, one time point of Fig. 7."""
    o = SIZES[size]
    rng = np.random.default_rng(0)
    x = sample(ALPHA, XMIN, o["n"], rng)
    sets = [sample(ALPHA, XMIN, o["n"], rng) for _ in range(o["some"])]
    whole = np.concatenate([x, rng.integers(1, XMIN, o["n"])])  # a tail and a body, for methods that look for xmin
    precision = 0.5 / np.sqrt(o["some"])  # igraph runs 0.25 / precision ** 2 sets
    fit, chosen = fit_tail(x, XMIN), select_xmin(whole)[0]
    k, counts = np.unique(x, return_counts=True)
    tail = Tail(k.astype(float), counts.astype(float), XMIN, np.inf)

    def times(task: str, cases: Mapping[str, Callable[[], object]], scaled: Mapping[str, float] | None = None
              ) -> list[dict[str, Any]]:
        timings = in_turns(cases, o["rounds"])
        for name, factor in (scaled or {}).items():
            if name in timings:
                timings[name] = Timing(tuple(seconds * factor for seconds in timings[name].seconds))
        ours = timings["regrow"].median
        return [{"task": task, "method": name, **timing.columns(), "times_ours": timing.median / ours}
                for name, timing in timings.items()]

    def igraph(data: NDArray[np.int64], **options: Any) -> dict[str, Callable[[], object]]:
        try:
            import igraph
        except ImportError:
            return {}
        values = data.tolist()
        return {"igraph": lambda: igraph.power_law_fit(values, **options)}

    slow = {"powerlaw, default": o["sets"] / o["some"], "powerlaw, exact": o["sets"] / o["some"],
            "igraph": o["sets"] / o["some"]}
    rows = times(f"p, {o['sets']:,} sets, xmin fixed", {
        "regrow": lambda: goodness_of_fit(x, fit, o["sets"]),
        "powerlaw, default": lambda: [powerlaw_D(one, xmin=XMIN) for one in sets],
        "powerlaw, exact": lambda: [powerlaw_D(one, xmin=XMIN, **EXACT) for one in sets],
        **igraph(x, xmin=XMIN, p_precision=precision)}, slow)
    rows += times("choosing xmin", {
        "regrow": lambda: select_xmin(whole), "powerlaw, default": lambda: powerlaw_D(whole),
        **igraph(whole, p_precision=0.5)})
    rows += times(f"p, {o['sets']:,} sets, xmin chosen", {
        "regrow": lambda: goodness_of_fit(whole, chosen, o["sets"], "reselect"),
        **igraph(whole, p_precision=precision)}, slow)
    rows += times("truncated power law", {
        "regrow": lambda: laws.truncated_power_law(tail, fit.alpha), "powerlaw, default": lambda: truncated(x)})
    rows += times("time point, 2,500 sets", {
        "regrow": lambda: (compare_laws(x, fit_tail(x, XMIN)), goodness_of_fit(x, fit_tail(x, XMIN)))})
    minutes = rows[-1]["ms"] * TIME_POINTS / 60_000
    notes = (f"CPU time. {o['n']} values from xmin = {XMIN} on, alpha = {ALPHA}; as many below where xmin is chosen.",
             f"p of powerlaw and igraph is extrapolated from {o['some']} of {o['sets']:,} sets; powerlaw gets sets "
             "that were drawn before.",
             "igraph's p chooses xmin anew for every set even if xmin is given; its choice of xmin includes one set.",
             "A truncated power law here finds the nodes of its sums in a cache, which costs 2 ms to fill.")
    return Table("tails", "ms of CPU time per result, one thread", COLUMNS, rows,
                 {"CPU-minutes of the tail series of 15 runs": minutes}, notes)


def in_turns(cases: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Timing]:
    """As bench.timing.interleaved, but in CPU time of this process."""
    for case in cases.values():
        case()
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            began = time.process_time()
            case()
            seconds[name].append(time.process_time() - began)
    return {name: Timing(tuple(values)) for name, values in seconds.items()}


def powerlaw_D(x: NDArray[np.int64], **options: Any) -> float:
    """The distance of powerlaw's fit, which it finds while it fits."""
    import powerlaw

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return powerlaw.Fit(x, discrete=True, verbose=0, **options).power_law.D


def truncated(x: NDArray[np.int64]) -> float:
    """powerlaw's rate of the cut-off."""
    import powerlaw

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return powerlaw.Fit(x, discrete=True, xmin=XMIN, verbose=0).truncated_power_law.Lambda
