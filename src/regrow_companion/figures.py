"""The only door to disk for figures and tables: each one goes out with its data and its provenance.

A product is a stem in a folder. A figure is .svg .png .csv .json, a table is .csv .md .json. The bytes depend only on
what is drawn, the records behind it, the commit and the installed versions, never on the clock or on the process.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.image import imread
from PIL import Image, PngImagePlugin

from regrow import provenance
from regrow.errors import left_alone
from regrow.files import write
from regrow.record import Record
from regrow_companion.style import FigureError, unlabelled_axes

QUICK_MARK = "quick profile, not the paper's scale"
QUICK_GID = "quick-mark"  # text is stored as outlines, so the mark is found in the svg by its id
MIN_ALT = 20  # characters; anything shorter describes nothing
DPI = 150


def save_figure(fig: Figure, stem: str, *, data: pd.DataFrame, alt: str, out: Path, profile: str, caption: str = "",
                records: Sequence[Record] = ()) -> Path:
    """Write out/stem.svg .png .csv .json, each one atomically, and return the path of the png.

    data is what the figure shows, alt says it to someone who cannot see it (also inside the svg and png), records are
    the runs it was drawn from. A figure of the quick profile gets QUICK_MARK below its bottom right corner. Raises
    FigureError for an empty alt, data or figure and for axes without labels.
    """
    check_stem(stem)
    if len(alt.strip()) < MIN_ALT:
        raise FigureError(f"{stem} needs an alt text of at least {MIN_ALT} characters that says what the figure shows.")
    if data.empty:
        raise FigureError(f"{stem} needs the data it shows: data= has no rows.")
    if not any(ax.has_data() for ax in fig.axes):
        raise FigureError(f"{stem} has nothing drawn in it; save it after plotting.")
    if nameless := unlabelled_axes(fig):
        raise FigureError(f"{stem} has axes without labels: {', '.join(nameless)}; set them before saving.")
    _settle(fig)
    if profile == "quick" and not any(text.get_gid() == QUICK_GID for text in fig.texts):
        # Just below everything drawn, where it covers nothing; the tight bounding box of the file then includes it.
        lowest = min(0.0, fig.get_tightbbox().y0) - 0.02
        fig.text(1, lowest / fig.get_figheight(), QUICK_MARK, ha="right", va="top", size=7, style="italic",
                 color="#595959", gid=QUICK_GID)

    files = {"svg": _picture(fig, "svg", {"Title": caption or stem, "Description": alt, "Date": None}),
             "png": _picture(fig, "png", {"Title": caption or stem, "Description": alt}),
             "csv": _csv(data)}
    about = {"stem": stem, "profile": profile, "alt": alt, "caption": caption}
    _write_all(Path(out), stem, files, about | _origin(records))
    return Path(out) / f"{stem}.png"


def _settle(fig: Figure) -> None:
    """Run the layout once and keep its result, so that nothing moves when the files are cropped to what is drawn."""
    fig.draw_without_rendering()
    fig.set_layout_engine("none")
    for legend in fig.legends:  # anchored to the canvas by default, which is another one while cropping
        if legend.get_bbox_to_anchor() is fig.bbox:
            legend.set_bbox_to_anchor((0, 0, 1, 1), transform=fig.transFigure)


def _picture(fig: Figure, kind: str, texts: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "regrow", "svg.fonttype": "path"}):
        fig.savefig(buffer, format=kind, dpi=DPI, bbox_inches="tight", pad_inches=0.06, metadata=texts)
    if kind == "svg":
        return slim_svg(buffer.getvalue())
    # A palette makes steps in a colour bar, which is too small a part of the picture to be noticed as a part of it.
    return slim_png(buffer.getvalue(), palette=not fig.findobj(lambda artist: hasattr(artist, "_colorbar")))


def save_table(frame: pd.DataFrame, stem: str, *, out: Path, profile: str, caption: str,
               records: Sequence[Record] = ()) -> Path:
    """Write out/stem.csv .md .json, each one atomically, and return the path of the md. Raises FigureError if empty."""
    check_stem(stem)
    if frame.empty or not caption.strip():
        raise FigureError(f"{stem} needs at least one row and a caption.")
    files = {"csv": _csv(frame), "md": _markdown(frame, caption, profile)}
    about = {"stem": stem, "profile": profile, "caption": caption}
    _write_all(Path(out), stem, files, about | _origin(records))
    return Path(out) / f"{stem}.md"


def _csv(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False, lineterminator="\n", float_format="%.6g").encode()


def _markdown(frame: pd.DataFrame, caption: str, profile: str) -> bytes:
    def row(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", r"\|").replace("\n", " ") for cell in cells) + " |"

    shown = pd.read_csv(io.BytesIO(_csv(frame)), dtype=str, keep_default_na=False)  # the same digits as in the csv
    head = [row([str(name) for name in shown.columns]), row(["---"] * shown.shape[1])]
    note = [f"*{QUICK_MARK}*", ""] if profile == "quick" else []
    lines = [f"**{caption.strip()}**", "", *note, *head, *(row(cells) for cells in shown.to_numpy().tolist())]
    return ("\n".join(lines) + "\n").encode()


def check_stem(stem: str) -> None:
    """Raise FigureError for what cannot be the name of a figure's files."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", stem):
        raise FigureError(f"{stem!r} is no name for a file; use letters, digits, - and _, as in fig05.")


def _write_all(out: Path, stem: str, files: Mapping[str, bytes], about: dict[str, Any]) -> None:
    """Write the json with the digests of the files, then the files: check_* sees a set that was interrupted half way,
    and the json says of all of them that they are ours. Raises FigureError if some of these names are somebody else's.
    """
    digests = {ext: hashlib.sha256(content).hexdigest() for ext, content in files.items()}
    text = json.dumps(about | {"sha256": digests}, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    try:
        _refuse_foreign(out, stem, files)
        out.mkdir(parents=True, exist_ok=True)
        for ext, content in (("json", text.encode()), *files.items()):
            write(out / f"{stem}.{ext}", content)
    except OSError as error:
        raise FigureError(f"{stem} cannot be written to {out} ({error.strerror or error}): free some space, mend the "
                          "permissions, or choose another folder.") from error


def _refuse_foreign(out: Path, stem: str, kinds: Iterable[str]) -> None:
    """Raise FigureError where writing would replace a file that this program did not write."""
    try:
        about = json.loads((out / f"{stem}.json").read_bytes())
        ours = isinstance(about, dict) and about.get("stem") == stem and isinstance(about.get("sha256"), dict)
    except (FileNotFoundError, ValueError):  # none, or something that is not JSON
        ours = False
    there = [name for name in (f"{stem}.json", *(f"{stem}.{kind}" for kind in kinds)) if (out / name).exists()]
    if there and not ours:
        raise FigureError(left_alone(out / there[0]))


# ------------------------------------------------------------------------------------------------- the checks

def check_figure(out: Path, stem: str) -> list[str]:
    """What is wrong with a figure on disk, one sentence each; an empty list means that it can be shown."""
    found, about = _check_files(Path(out), stem, {"svg": _svg_trouble, "png": _png_trouble, "csv": _csv_trouble})
    if about is not None and len(str(about.get("alt", "")).strip()) < MIN_ALT:
        found.append(f"{stem}.json has no alt text.")
    svg = Path(out) / f"{stem}.svg"
    if about is not None and about.get("profile") == "quick" and svg.is_file() \
            and f'id="{QUICK_GID}"'.encode() not in svg.read_bytes():
        found.append(f"{stem}.svg is of the quick profile but does not say so.")
    return found


def check_table(out: Path, stem: str) -> list[str]:
    """What is wrong with a table on disk, one sentence each."""
    found, about = _check_files(Path(out), stem, {"csv": _csv_trouble, "md": lambda path: ""})
    if about is not None and not about.get("caption"):
        found.append(f"{stem}.json has no caption.")
    return found


def _check_files(out: Path, stem: str,
                 checks: Mapping[str, Callable[[Path], str]]) -> tuple[list[str], dict[str, Any] | None]:
    found: list[str] = []
    about = None
    path = out / f"{stem}.json"
    try:
        about = json.loads(path.read_bytes())
        if not isinstance(about, dict) or not isinstance(about.get("keys"), list):
            found.append(f"{path.name} does not list the keys of its runs.")
            about = about if isinstance(about, dict) else None
    except FileNotFoundError:
        found.append(f"{path.name} is missing.")
    except (OSError, ValueError):
        found.append(f"{path.name} is empty or not JSON.")
    for ext, trouble in checks.items():
        path = out / f"{stem}.{ext}"
        if not path.is_file():
            found.append(f"{path.name} is missing.")
        elif not path.stat().st_size:
            found.append(f"{path.name} is empty.")
        elif what := trouble(path):
            found.append(f"{path.name} {what}.")
        elif about and about.get("sha256", {}).get(ext) != hashlib.sha256(path.read_bytes()).hexdigest():
            found.append(f"{path.name} does not belong to {stem}.json; draw it again.")
    return found, about


def _svg_trouble(path: Path) -> str:
    try:
        return "" if ElementTree.parse(path).getroot().tag.endswith("svg") else "is not an svg"
    except ElementTree.ParseError:
        return "cannot be parsed as XML"


def _png_trouble(path: Path) -> str:
    try:
        pixels = imread(path, format="png")
    except (OSError, ValueError, SyntaxError):  # what Pillow raises for a wrong header or a cut file
        return "is not a whole png"
    return "is all of one colour" if (pixels == pixels[0, 0]).all() else ""


def _csv_trouble(path: Path) -> str:
    try:
        return "" if len(pd.read_csv(path)) else "has no rows"
    except (ValueError, pd.errors.ParserError):
        return "cannot be read as a csv"


def _origin(records: Sequence[Record]) -> dict[str, Any]:
    """Where a product comes from: run keys, seeds, versions, commit, hardware. JSON-ready, without any time stamp."""
    versions: dict[str, Any] = {name: provenance.version(name) for name in ("regrow", "numpy", "matplotlib", "pandas")}
    versions["python"] = platform.python_version()
    runs = [record.provenance for record in records]
    keys = sorted({record.key for record in records})
    if torch := _distinct(run.get("versions", {}).get("torch") for run in runs):
        versions["torch"] = torch
    return {"keys": keys, "n_runs": len(keys), "seeds": sorted({record.config.seed for record in records}),
            "versions": versions, "hardware": _distinct(run.get("hardware") for run in runs),
            "device": _distinct(run.get("device") for run in runs), **provenance.commit()}


def _distinct(values: Any) -> list[Any]:
    """Each value once, in the order of its JSON text; None is left out."""
    texts = {json.dumps(value, sort_keys=True) for value in values if value is not None}
    return [json.loads(text) for text in sorted(texts)]


# --------------------------------------------------------------- smaller files of the same picture: what no eye can see
# is left out of an svg or png before it is written

# Places and lengths in points. Other attributes, texts and scales keep all their digits.
_PLACES = re.compile(rb'(?<=[\s(])(?:(?:d|x|y|width|height|points)="[^"]*"|transform="[^"]*")')
_MOVES = re.compile(rb"translate\([^)]*\)")
_LONG = re.compile(rb"-?\d+\.\d{3,}(?![\de])")
_BETWEEN = re.compile(rb">\s*\n\s*<")
_WITHIN = re.compile(rb'(?<=[ "])d="[^"]*"')

COLOURS = 256
# A palette stands in for all colours if no pixel moves by more than FURTHEST of 255 steps, and hardly any by more than
# CLOSE: edges of lines do, areas of a heat map or of its colour bar must not, since there the eye sees steps.
FURTHEST, CLOSE, HARDLY_ANY = 64, 8, 1 / 500


def slim_svg(content: bytes) -> bytes:
    """The svg with places rounded to a hundredth of a point and without indentation."""
    content = _PLACES.sub(lambda found: _rounded_attribute(found[0]), content)
    content = _WITHIN.sub(lambda found: found[0].replace(b" \n", b" "), content)
    return _BETWEEN.sub(b">\n<", content)


def _rounded_attribute(attribute: bytes) -> bytes:
    if attribute.startswith(b"transform"):
        return _MOVES.sub(lambda found: _rounded(found[0]), attribute)
    return _rounded(attribute)


def _rounded(text: bytes) -> bytes:
    def short(found: re.Match[bytes]) -> bytes:
        digits = (b"%.2f" % float(found[0])).rstrip(b"0").rstrip(b".")
        return b"0" if digits == b"-0" else digits

    return _LONG.sub(short, text)


def slim_png(content: bytes, *, palette: bool = True) -> bytes:
    """The png without an alpha channel that says nothing, and with a palette if allowed and as good; texts stay."""
    with Image.open(io.BytesIO(content)) as picture:
        picture.load()
        texts = PngImagePlugin.PngInfo()
        for key, text in getattr(picture, "text", {}).items():
            texts.add_text(key, text)
        how = {"pnginfo": texts, "dpi": picture.info.get("dpi", (72, 72)), "optimize": True}
        whole = picture.convert("RGBA")
    if whole.getchannel("A").getextrema() != (255, 255):
        return content
    colours = whole.convert("RGB")
    few = colours.quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    moved = np.abs(np.asarray(few.convert("RGB"), dtype=np.int16) - np.asarray(colours, dtype=np.int16)).max(axis=2)
    out = io.BytesIO()
    as_good = palette and moved.max() <= FURTHEST and (moved > CLOSE).mean() <= HARDLY_ANY
    (few if as_good else colours).save(out, "png", **how)
    return out.getvalue()
