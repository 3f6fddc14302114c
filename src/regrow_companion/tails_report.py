"""What `python -m regrow tails FILE` says about anybody's whole numbers: fit, p, alternatives, as text or JSON."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from regrow.errors import ConfigError
from regrow.tails.compare import compare_laws
from regrow.tails.fit import fit_tail
from regrow.tails.given import whole, whole_numbers
from regrow.tails.goodness import goodness_of_fit
from regrow_companion.console import Progress

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

SETS, FEWEST_SETS = 2500, 40
WORK = 600_000_000  # values drawn, sorted and fitted; half a minute or less on one core
LONG = WORK // 20  # from here on a bar shows how far it is
FEWER = "note         So many values take long: the synthetic sets are fewer than 2,500; --sets N tests N."
PICTURES = (".svg", ".png", ".csv", ".json")  # all four are written


def usual_sets(n: int, distinct: int, null: str) -> int:
    """How many synthetic sets are tested if nobody says: 2,500, fewer for so many values that they would take minutes.

    The work of a set grows with its n values and, where xmin is chosen anew, with its distinct ones.
    """
    return int(min(SETS, max(FEWEST_SETS, WORK // max(_work(n, distinct, null), 1))))


def _work(n: int, distinct: int, null: str) -> int:
    """Of one synthetic set, in values drawn."""
    return n + distinct * (20 if null == "reselect" else 6)


def report(x: ArrayLike, xmin: int | None = None, xmax: int | None = None, *, seed: int = 0, n_sets: int | None = None
           ) -> dict[str, Any]:
    """Everything about the tail of x, ready for JSON (None instead of nan and infinities).

    xmin = None chooses it with select_xmin, and p then accounts for the choice (null="reselect"); n_sets = None is
    `usual_sets`. Keys: n, zeros, largest, xmin_chosen, null, n_sets, fewer_sets (whether they are fewer than usual for
    the size of the data), seed, fit, remarks, goodness, alternatives, best. Raises DataError and ConfigError as
    fit_tail and goodness_of_fit do, which includes a tail whose values are all equal.
    """
    values = whole_numbers(x)
    fit = fit_tail(values, xmin, xmax)
    null = "reselect" if xmin is None else "tail"
    size = (fit.n if null == "reselect" else fit.n_tail, np.unique(values).size, null)
    usual = usual_sets(*size)
    sets = usual if n_sets is None else whole("n_sets", n_sets)
    with Progress(sets, "synthetic sets") if sets * _work(*size) > LONG else nullcontext() as bar:
        tested = goodness_of_fit(values, fit, sets, null, seed, tell=bar.set if bar else None)
    comparison = compare_laws(values, fit)
    goodness = {name: getattr(tested, name) for name in
                ("p", "p_error", "D", "D_sqrt_n", "verdict_usual", "verdict_paper")} | {"verdicts": tested.verdicts}
    return _plain({"n": values.size, "zeros": int((values == 0).sum()), "largest": int(values.max()),
                   "xmin_chosen": xmin is None, "null": null, "n_sets": tested.n_sets,
                   "fewer_sets": n_sets is None and usual < SETS, "seed": seed, "fit": asdict(fit),
                   "remarks": fit.remarks, "goodness": goodness, "alternatives": comparison.rows(),
                   "best": comparison.best})


def text(report: dict[str, Any]) -> str:
    """The report for people."""
    fit, goodness = report["fit"], report["goodness"]
    upto = "" if fit["xmax"] is None else f" to {fit['xmax']:,}"
    chosen = ", chosen for the smallest D" if report["xmin_chosen"] else ""
    sets = f"{report['n_sets']:,} synthetic sets" + (", xmin chosen anew in each" if report["xmin_chosen"] else "")
    lines = [f"values       {report['n']:,}, {report['zeros']:,} of them 0, the largest {report['largest']:,}",
             f"tail         {fit['n_tail']:,} values from xmin = {fit['xmin']:,}{upto}{chosen}",
             f"alpha        {fit['alpha']:.4f} ± {_shown(fit['sigma'], '.4f')}  "
             f"((alpha - 1) / sqrt(n): {_shown(fit['sigma_simple'], '.4f')})",
             f"D            {goodness['D']:.5f}, D sqrt(n) = {goodness['D_sqrt_n']:.3f}",
             f"logL         {fit['log_likelihood']:.3f}",
             f"p            {goodness['p']:.4g} ± {goodness['p_error']:.2g} from {sets}",
             *(f"             {verdict}" for verdict in goodness["verdicts"]),
             *(f"note         {remark}" for remark in report["remarks"]),
             *([FEWER] if report["fewer_sets"] else []), "",
             f"{'law':22}  {'logL':>12}  {'ratio':>10}  {'z':>7}  {'p':>7}  {'AIC weight':>10}  favours"]
    for row in report["alternatives"]:
        favours = row["verdict"] if row["name"] != "power law" else ""
        if row["limit"]:
            favours += f" (at its {row['limit']} limit)"
        numbers = f"{row['log_likelihood']:12.3f}  {row['ratio']:10.3f}  {_shown(row['z'], '7.2f')}"
        lines.append(f"{row['name']:22}  {numbers}  {_shown(row['p'], '7.3f')}  {row['weight']:10.3f}  "
                     f"{favours}".rstrip())
    return "\n".join([*lines, "", "A positive ratio favours the power law; below p = 0.1 its sign means something. The "
                      "power law is nested in the", "truncated one, whose p is that of chi-square; z is Vuong's."])


def check_picture(path: Path, source: Path) -> None:
    """Raise ConfigError if one of the four files of a picture would replace `source`, the file of numbers, and
    FigureError if they cannot be called so: before the half minute that a test may take.
    """
    from regrow_companion.figures import check_stem  # matplotlib, for those who ask for a picture

    check_stem(_stem(path))
    for target in (path.parent / f"{_stem(path)}{ending}" for ending in PICTURES):
        try:
            same = target.samefile(source)
        except (OSError, ValueError):  # one of them is not there
            same = False
        if same:
            raise ConfigError(f"--picture {path} would write {target}, which is the file of numbers itself; give the "
                              "picture another name.")


def _stem(path: Path) -> str:
    return path.stem if path.suffix.lower() in PICTURES else path.name


def picture(x: ArrayLike, report: dict[str, Any], path: Path, name: str) -> Path:
    """Draw the tail into path without its ending .svg .png .csv .json, all four; returns the path of the png."""
    from regrow_companion.figures import save_figure  # matplotlib, for those who ask for a picture
    from regrow_companion.plots.nb06_power_law import tail_figure
    from regrow_companion.style import use_style

    use_style()
    fit = fit_tail(x, report["fit"]["xmin"], report["fit"]["xmax"])
    drawn: tuple[Figure, pd.DataFrame] = tail_figure(x, fit, compare_laws(x, fit))
    alt = (f"Share of the values of {name} that are k or more, over k, both axes logarithmic, with the power law "
           f"(alpha = {fit.alpha:.3g}) fitted from {fit.xmin} on and six other laws.")
    return save_figure(drawn[0], _stem(path), data=drawn[1], alt=alt, out=path.parent, profile="tails")


def _shown(value: float | None, form: str) -> str:
    return format(value, form) if value is not None else "-".rjust(int(form.partition(".")[0] or 0))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value
