"""What `python -m regrow tails FILE` says about anybody's whole numbers: fit, p, alternatives, as text or JSON."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from regrow.errors import DataError
from regrow.tails.compare import compare_laws
from regrow.tails.fit import fit_tail
from regrow.tails.given import whole_numbers
from regrow.tails.goodness import goodness_of_fit

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

PICTURES = (".svg", ".png", ".csv", ".json")  # all four are written


def read_numbers(path: Path) -> list[int | float]:
    """Numbers of a text file, separated by spaces, commas or line ends; '#' begins a comment. Raises DataError."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); name a text file of whole numbers.") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is no text; name a text file of whole numbers.") from None
    return [_number(word, i, path) for i, line in enumerate(lines, 1)
            for word in line.partition("#")[0].replace(",", " ").split()]


def _number(word: str, line: int, path: Path) -> int | float:
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    raise DataError(f"Line {line} of {path} holds {word!r}, which is no number; give one whole number a line.")


def report(x: ArrayLike, xmin: int | None = None, xmax: int | None = None, *, seed: int = 0, n_sets: int = 2500
           ) -> dict[str, Any]:
    """Everything about the tail of x, ready for JSON (None instead of nan and infinities).

    xmin = None chooses it with select_xmin, and p then accounts for the choice (null="reselect"). Keys: n, zeros,
    largest, xmin_chosen, null, n_sets, seed, fit, remarks, goodness, alternatives, best. Raises DataError and
    ConfigError as fit_tail and goodness_of_fit do, which includes a tail whose values are all equal.
    """
    values = whole_numbers(x)
    fit = fit_tail(values, xmin, xmax)
    null = "reselect" if xmin is None else "tail"
    tested = goodness_of_fit(values, fit, n_sets, null, seed)
    comparison = compare_laws(values, fit)
    goodness = {name: getattr(tested, name) for name in
                ("p", "p_error", "D", "D_sqrt_n", "verdict_usual", "verdict_paper")} | {"verdicts": tested.verdicts}
    return _plain({"n": values.size, "zeros": int((values == 0).sum()), "largest": int(values.max()),
                   "xmin_chosen": xmin is None, "null": null, "n_sets": n_sets, "seed": seed, "fit": asdict(fit),
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
             *(f"note         {remark}" for remark in report["remarks"]), "",
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


def picture(x: ArrayLike, report: dict[str, Any], path: Path, name: str) -> Path:
    """Draw the tail into path without its ending .svg .png .csv .json, all four; returns the path of the png."""
    from regrow_companion.figures import save_figure  # matplotlib, for those who ask for a picture
    from regrow_companion.plots.nb06_power_law import tail_figure
    from regrow_companion.style import use_style

    use_style()
    fit = fit_tail(x, report["fit"]["xmin"], report["fit"]["xmax"])
    drawn: tuple[Figure, pd.DataFrame] = tail_figure(x, fit, compare_laws(x, fit))
    stem = path.stem if path.suffix.lower() in PICTURES else path.name
    alt = (f"Share of the values of {name} that are k or more, over k, both axes logarithmic, with the power law "
           f"(alpha = {fit.alpha:.3g}) fitted from {fit.xmin} on and six other laws.")
    return save_figure(drawn[0], stem, data=drawn[1], alt=alt, out=path.parent, profile="tails")


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
