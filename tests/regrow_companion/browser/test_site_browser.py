"""The site in a real browser, opened as files, without a kernel and with the network refused.

Its pages are real: texts, code and checked outputs of committed notebooks, the repository's figures and tables, and the
gallery of widgets executed here with static forms. Screenshots are in pytest's temporary folder, see --basetemp.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import nbformat
import pytest
from chromium import PATIENCE, launched
from gallery import StillForm, gallery
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from regrow_companion import claims, regenerate, site
from regrow_companion.claims.effects import effect
from regrow_companion.claims.judgement import VERDICTS, Outcome, Part, Reading
from regrow_companion.runner.index import Entry
from regrow_companion.site import growth
from regrow_companion.study import REPOSITORY
from regrow_companion.widgets.panel import STATIC

pytestmark = pytest.mark.browser

ROOT = REPOSITORY
AXE = ROOT / "tests" / "assets" / "axe.min.js"  # see NOTICE.md there
SHOWN = ("05", "06", "09", "17", "widgets")
ALL_THERE = """async () => {
    if (window.MathJax?.startup?.promise) await MathJax.startup.promise;
    while (document.querySelector('.regrow-static:not([data-alive])')) await new Promise(r => setTimeout(r, 50));
}"""
SERIOUS = """async () => (await axe.run(document, {preload: false, resultTypes: ['violations']})).violations
    .filter(found => ['serious', 'critical'].includes(found.impact))
    .map(found => found.id + ': ' + found.nodes.slice(0, 3).map(node => node.html.slice(0, 120)).join(' | '))"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as chromium:
        yield chromium


def executed_widgets() -> nbformat.NotebookNode:
    from nbclient import NotebookClient

    notebook = nbformat.read(ROOT / "notebooks" / "widgets.ipynb", as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(STATIC, "1")
        NotebookClient(notebook, timeout=600, kernel_name="python3",
                       resources={"metadata": {"path": str(ROOT / "notebooks")}}).execute()
    return notebook


def outputs_of_all_kinds() -> nbformat.NotebookNode:
    frame = "<table border='1' class='dataframe'><tr><th></th><th>a</th></tr><tr><th>0</th><td>1</td></tr></table>"
    outputs = [new_output("stream", text="wide " * 80), new_output("stream", name="stderr", text="careful\n"),
               new_output("execute_result", {"text/html": frame, "text/plain": "a"}),
               new_output("error", ename="ValueError", evalue="no", traceback=[])]
    source = '@kept  # a comment\ndef f(x: int = 1_0) -> str:\n    """Words."""\n    return f"{x!r} {True}" or None'
    return new_notebook(cells=[new_markdown_cell("# 99 · Outputs\n\n> quoted\n\n```python\nx = 'y'\n```"),
                               new_code_cell(source, outputs=outputs)])


@pytest.fixture(scope="module")
def folder(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site of a few notebooks, a failed one and one that has not been executed."""
    home = tmp_path_factory.mktemp("site")
    entries = {entry.id: entry for entry in regenerate.read_entries()}
    books = {name: nbformat.read(entries[name].path, as_version=4) for name in SHOWN if name != "widgets"}
    books["widgets"] = executed_widgets()
    (home / "executed").mkdir()
    for name, notebook in books.items():
        nbformat.write(notebook, home / "executed" / entries[name].file)
    failed = home / "99_outputs.ipynb"
    nbformat.write(outputs_of_all_kinds(), failed)
    nbformat.write(outputs_of_all_kinds(), home / "executed" / "99_outputs.failed.ipynb")
    extra = Entry("99", failed, "Outputs", "5.3", figures=("fig99",), minutes={"quick": 1, "paper": 1})
    verdicts = cycle(VERDICTS)
    parts = (Part("one", (effect("x", [1.0, 2.0]), effect("y", [3.0, 4.0]))),)
    judged = [(claim, Outcome(next(verdicts), parts, "`command` does it.", "Holds in all 3 cells of its tables.",
                              (Reading("black border", "reproduced", "undecided", parts),)))
              for claim in claims.LEDGER]
    material = site.Material("paper", (*(entries[name] for name in (*SHOWN, "08")), extra), home / "executed",
                             ROOT / "figures", ROOT / "figures", judged, growth=growth.moving_picture(growth.shipped()))
    return site.write(material, home / "site").index.parent


@pytest.fixture
def opened(browser: Any, folder: Path, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Opens a page of the site; in the end nobody has complained and nothing outside its folder was asked for."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000}, offline=True)
    asked: list[str] = []
    complaints: list[str] = []

    def local_only(route: Any) -> None:
        if route.request.url.startswith((folder.as_uri(), "data:", "blob:")):
            route.continue_()
        else:
            asked.append(route.request.url)
            route.abort()

    context.route("**/*", local_only)

    def open_page(name: str, **media: str) -> Any:
        it = context.new_page()
        it.set_default_timeout(PATIENCE)
        it.on("pageerror", lambda error: complaints.append(f"{name}: {error}"))
        it.on("console", lambda message: complaints.append(f"{name}: {message.text}")
              if message.type == "error" else None)
        it.emulate_media(**media)
        it.goto((folder / name).as_uri())
        it.evaluate(ALL_THERE)
        return it

    yield open_page
    for number, it in enumerate(context.pages):
        it.screenshot(path=tmp_path / f"page{number}.png")
    context.close()
    assert (asked, complaints) == ([], [])


def test_no_page_keeps_anyone_out(opened: Callable[..., Any], folder: Path) -> None:
    """axe finds nothing serious, in light and dark, with everything unfolded; and it does find what is wrong."""
    for path in sorted(folder.glob("*.html")):
        it = opened(path.name)
        it.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
        it.add_script_tag(path=AXE)
        for scheme in ("light", "dark"):
            it.emulate_media(color_scheme=scheme)
            assert it.evaluate(SERIOUS) == [], (path.name, scheme)
        it.close()
    it = opened("glossary.html", color_scheme="dark")
    it.add_script_tag(path=AXE)
    it.evaluate("document.querySelector('main').insertAdjacentHTML('beforeend', "
                "'<img src=\"data:,\"><p style=\"color: #333\">dark on dark</p>')")
    assert [found.partition(":")[0] for found in it.evaluate(SERIOUS)] == ["color-contrast", "image-alt"]


def test_formulas_are_typeset_and_solutions_folded(opened: Callable[..., Any]) -> None:
    it = opened("05_k_shells.html")
    assert it.locator("mjx-container[jax=SVG] svg").count() > 10 and it.locator("[data-mjx-error]").count() == 0
    assert "$" not in " ".join(it.locator(".prose").all_inner_texts())
    assert it.locator(".prose > details").count() == 6 and it.locator(".prose > details[open]").count() == 0
    folds = it.locator(".prose > details", has_text="Solution")
    assert folds.count() == 3, "the others are hints"
    code = folds.first.locator(".source")
    assert code.count() == 1 and not code.is_visible()
    folds.first.locator("summary").first.focus()
    it.keyboard.press("Enter")
    assert code.is_visible() and "dense" in code.inner_text()


def test_pages_fit_a_telephone_and_print_everything(opened: Callable[..., Any], folder: Path, tmp_path: Path) -> None:
    for name in ("index.html", "verdicts.html", "notebooks.html", "05_k_shells.html", "figures.html", "table4.html",
                 "glossary.html", "widgets.html", "api.html", "search.html"):
        it = opened(name)
        it.set_viewport_size({"width": 390, "height": 800})
        assert it.evaluate("document.documentElement.scrollWidth") <= 390, name
        it.close()
    it = opened("05_k_shells.html", media="print")
    it.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert it.locator(".prose > details .source").first.is_visible()
    assert not it.locator("header").is_visible() and not it.locator("aside").is_visible()


def test_keyboard_reaches_content_verdicts_and_theme(opened: Callable[..., Any]) -> None:
    it = opened("verdicts.html", color_scheme="light")
    it.keyboard.press("Tab")
    assert it.evaluate("document.activeElement.className") == "skip"
    it.keyboard.press("Enter")
    assert it.evaluate("document.activeElement.id") == "content"
    every = it.locator(".ledger tbody tr:visible").count()
    it.locator(".chip.undecided").focus()
    it.keyboard.press("Enter")
    it.wait_for_function("location.hash === '#undecided'")
    assert 0 < it.locator(".ledger tbody tr:visible").count() < every == len(claims.LEDGER)
    assert set(it.locator(".ledger .verdict:visible").all_inner_texts()) == {"≈\u00a0undecided"}
    light = it.evaluate("getComputedStyle(document.body).backgroundColor")
    it.locator("#theme").focus()
    it.keyboard.press("Enter")
    dark = it.evaluate("getComputedStyle(document.body).backgroundColor")
    assert light == "rgb(255, 255, 255)" != dark and it.locator("#theme").inner_text() == "Light"


INK = """(canvas) => { const c = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    return c.reduce((sum, value, n) => sum + (n % 4 === 3 && value > 0 ? 1 : 0), 0); }"""


def test_three_networks_rewire_and_can_be_stopped_and_moved_by_keyboard(opened: Callable[..., Any]) -> None:
    """One start for all; it plays by itself, unless the reader wants no motion, and says in words what it shows."""
    it = opened("index.html", reduced_motion="no-preference")
    pictures, said = it.locator(".growth canvas"), it.locator(".growth .said")
    button, slider = it.locator(".growth button"), it.locator(".growth input")
    assert pictures.count() == 3
    it.wait_for_function("Number(document.querySelector('.growth input').value) > 2")
    button.focus()
    it.keyboard.press("Enter")
    assert button.inner_text() == "Play"
    slider.focus()
    it.keyboard.press("Home")
    assert slider.get_attribute("aria-valuetext") == it.locator(".growth output").inner_text() == "before training"
    assert len(set(said.all_inner_texts())) == 1 and len({picture.evaluate(INK) for picture in pictures.all()}) == 1
    it.keyboard.press("ArrowRight")
    hubs = [int(text.partition("\n")[0].rpartition(" ")[2].replace(",", "")) for text in said.all_inner_texts()]
    assert hubs[0] < 300 and min(hubs[1:]) > 1_000, "the first update makes hubs, but for random growth"
    still = opened("index.html", reduced_motion="reduce")
    assert still.locator(".growth output").inner_text() == "epoch 300 of 300"
    assert still.locator(".growth button").inner_text() == "Play again"


def test_without_scripts_the_first_page_shows_a_still(browser: Any, folder: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    it = context.new_page()
    it.goto((folder / "index.html").as_uri())
    assert it.locator(".growth noscript img").is_visible() and not it.locator(".growth .panels").is_visible()
    context.close()


def test_one_click_from_the_first_page_to_the_power_law(opened: Callable[..., Any]) -> None:
    it = opened("index.html")
    it.locator(".findings li", has_text="power law").locator("a").first.click()
    it.wait_for_function("location.hash === '#claim-power-law'")
    row = it.locator("#claim-power-law")
    top = row.bounding_box()["y"]
    assert 0 <= top < 900 and row.locator(".verdict").is_visible()


def test_the_search_finds_what_the_header_asks_for(opened: Callable[..., Any]) -> None:
    it = opened("05_k_shells.html")
    it.locator("header input").fill("power law")
    it.keyboard.press("Enter")
    it.wait_for_url("**/search.html?q=power+law")
    links = it.locator("#found a")
    assert links.count() > 5 and "law" in links.first.inner_text().lower()
    assert it.locator("#said").inner_text().startswith(str(links.count()))
    it.locator("main input").fill("no such words")
    assert it.locator("#said").inner_text() == "0 found." and links.count() == 0


def test_on_a_telephone_the_contents_stand_above_the_page(opened: Callable[..., Any]) -> None:
    it = opened("05_k_shells.html")
    assert not it.locator(".contents").is_visible() and it.locator("aside .wide").is_visible()
    it.set_viewport_size({"width": 390, "height": 800})
    assert it.locator(".contents").is_visible() and not it.locator("aside .wide").is_visible()
    assert it.locator(".contents").bounding_box()["y"] < it.locator("h1").bounding_box()["y"]


def test_figures_are_dimmed_in_the_dark_and_keep_their_colours(opened: Callable[..., Any]) -> None:
    it = opened("figures.html", color_scheme="dark")
    look = "getComputedStyle(document.querySelector('.gallery img')).filter"
    assert it.evaluate(look) == "brightness(0.83)"
    it.locator("#theme").click()
    assert it.evaluate(look) == "brightness(1)"


# ----------------------------------------------------------------------------------------------------------- widgets

def forms_of(folder: Path) -> list[StillForm]:
    """The forms of the gallery's page, as Python reads them."""
    text = (folder / "widgets.html").read_text(encoding="utf-8")
    return [StillForm(form) for form in re.findall(r'<div class="regrow-static".*?</script><script>', text, re.DOTALL)]


def assert_stands(form: Any, expected: StillForm) -> None:
    """Every control, in words and for screen readers, the picture and the sentence are those of `expected`."""
    under, over, text, alt = expected.data["frames"][expected.path()[-1]]
    pictures = [expected.data["images"][number] for number in (under, over)]
    form.page.wait_for_function("""([form, pictures]) => [...form.querySelectorAll('img')].every(
        (image, n) => image.src.endsWith(pictures[n]) && image.naturalWidth === 1050)""",
                                arg=[form.element_handle(), pictures])
    assert form.locator("[role=status]").inner_text() == expected.data["words"][text]
    assert form.locator("img").first.get_attribute("alt") == expected.data["words"][alt]
    for control, words in zip(expected.controls, expected.chosen, strict=True):
        box = form.get_by_label(control["label"], exact=True)
        if control["menu"]:
            assert box.evaluate("menu => menu.selectedOptions[0].textContent") == words
        else:
            assert box.get_attribute("aria-valuetext") == words
            assert box.locator("+ output").inner_text() == words


def test_still_forms_have_the_controls_of_the_live_ones(folder: Path) -> None:
    """The page is of a size for a telephone, and nothing on it differs from what the notebook's widgets say."""
    assert (folder / "widgets.html").stat().st_size < 8_000_000
    live = gallery()
    for form, panel in zip(forms_of(folder), [*live, live[-1]], strict=True):  # the last cell shows the last again
        names = [name for name, it in panel.widget.controls.items() if not it.live_only]
        assert [control["label"] for control in form.controls] == [panel.controls[name].description for name in names]
        view = panel.view()
        assert (form.shown().text, form.shown().alt) == (view.text, view.alt)
        assert abs(form.shown().pixels.astype(int) - view.pixels).mean() < 3


def test_still_forms_answer_the_keyboard_without_kernel_and_network(opened: Callable[..., Any], folder: Path,
                                                                    tmp_path: Path) -> None:
    it = opened("widgets.html")
    forms, expected = it.locator(".regrow-static"), forms_of(folder)
    assert forms.count() == len(expected)
    for number, known in enumerate(expected):
        form = forms.nth(number)
        assert_stands(form, known)
        for control, about in enumerate(known.controls):
            box = form.get_by_label(about["label"], exact=True)
            box.focus()
            for key, place in (("End", len(known.offered()[control]) - 1), ("Home", 0), ("ArrowDown", 1)):
                if about["menu"]:  # its keys are the browser's, and differ between systems
                    box.select_option(index=min(place, len(known.offered()[control]) - 1))
                else:
                    it.keyboard.press(key if key != "ArrowDown" else "ArrowRight")
                known.move(control, min(place, len(known.offered()[control]) - 1))
                assert_stands(form, known)
        form.screenshot(path=tmp_path / f"static{number}.png")


def test_still_forms_play_and_pause_and_keep_still_for_those_who_ask(opened: Callable[..., Any], folder: Path) -> None:
    it, known = opened("widgets.html", reduced_motion="no-preference"), forms_of(folder)[2]
    form = it.locator(".regrow-static").nth(2)
    slider, button = form.get_by_label("topology updates", exact=True), form.locator("button")
    assert button.get_attribute("aria-label") == "Play: topology updates"
    button.focus()
    it.keyboard.press("Enter")
    assert button.inner_text() == "Pause" and form.locator("[role=status]").get_attribute("aria-live") == "off"
    it.wait_for_function("slider => Number(slider.value) >= 3", arg=slider.element_handle())
    it.keyboard.press("Enter")
    stopped = int(slider.input_value())
    it.wait_for_timeout(1600)
    assert int(slider.input_value()) == stopped < len(known.offered()[0]) - 1 and button.inner_text() == "Play"
    known.move(0, stopped)
    assert_stands(form, known)
    it.emulate_media(reduced_motion="reduce")
    it.wait_for_function("button => button.textContent === 'Next'", arg=button.element_handle())
    button.click()
    it.wait_for_timeout(1600)
    assert int(slider.input_value()) == stopped + 1, "one step for one press"
