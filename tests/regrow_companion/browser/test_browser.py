"""Notebooks and widgets in a real browser: JupyterLab started here on a free port, Chromium, the keyboard.

Nothing outside this machine is asked for anything. Screenshots are in pytest's temporary folder, see --basetemp.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from chromium import PATIENCE, launched, sync_api
from gallery import gallery, picture_of

from regrow_companion import widgets
from regrow_companion.study import REPOSITORY
from regrow_companion.widgets.panel import STATIC, Panel

pytestmark = pytest.mark.browser

ROOT = REPOSITORY
FOLDERS = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_SETTINGS_DIR",
           "JUPYTERLAB_WORKSPACES_DIR", "IPYTHONDIR", "MPLCONFIGDIR")
LAB = ["--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", "--ServerApp.port=0",
       "--LabApp.expose_app_in_browser=True", "--LabApp.extension_manager=readonly", "--LabApp.news_url=None",
       "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", "--ServerApp.terminals_enabled=False"]
SETTINGS = {"notebook-extension/tracker": {"windowingMode": "none"},  # all cells are on the page
            "apputils-extension/notification": {"fetchNews": "false"}}

# The notebook in front, as JupyterLab knows it.
PANEL = "window.jupyterapp?.shell?.currentWidget"
WATCH = """() => {
    window.kernelErrors = [];
    jupyterapp.shell.currentWidget.context.sessionContext.iopubMessage.connect((_, message) => {
        const {msg_type} = message.header, {content} = message;
        if (msg_type === 'error') window.kernelErrors.push(content.ename + ': ' + content.evalue);
        if (msg_type === 'stream' && content.name === 'stderr' && content.text.includes('Traceback'))
            window.kernelErrors.push(content.text);
    });
}"""
OUTPUTS = """() => Array.from(jupyterapp.shell.currentWidget.content.model.cells)
    .filter(cell => cell.type === 'code')
    .map(cell => [cell.executionCount, cell.outputs.toJSON().filter(o => o.output_type === 'error').map(o => o.evalue)])
"""
# Looks at every frame that the browser shows: is there a picture of the right height, ready to be drawn?
BLINKS = """box => {
    const heights = new Set();
    window.blinks = 0;
    const look = () => {
        const picture = box.querySelector('img');
        if (!picture || !picture.complete || picture.naturalWidth === 0) window.blinks += 1;
        else heights.add(picture.getBoundingClientRect().height);
        if (heights.size > 1) { window.blinks += 1; heights.clear(); }
        requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The notebooks in a folder of their own, with one more whose widget fails, and beside it their pictures."""
    folder = tmp_path_factory.mktemp("lab") / "notebooks"
    folder.mkdir()
    shutil.copytree(ROOT / "figures", folder.parent / "figures", ignore=lambda _, names: [
        name for name in names if not name.endswith(".png")])
    for name in ("00_tour.ipynb", "widgets.ipynb"):
        shutil.copy2(ROOT / "notebooks" / name, folder / name)
    failing = ("import ipywidgets\nslider = ipywidgets.IntSlider(description='breaks')\n"
               "slider.observe(lambda change: 1 / 0, names='value')\nslider")
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(failing, id="failing")], metadata={
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}), folder / "failing.ipynb")
    return folder


@pytest.fixture(scope="module")
def lab(browser: Any, copy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """(url, token) of a JupyterLab with settings of its own, which ends with its kernels."""
    home, token = tmp_path_factory.mktemp("home"), secrets.token_hex(16)
    for name, settings in SETTINGS.items():
        path = home / "JUPYTERLAB_SETTINGS_DIR" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(settings))
    environment = os.environ | {name: str(home / name) for name in FOLDERS} | {"JUPYTER_TOKEN": token}
    environment["REGROW_STORE"] = str(home / "store")  # the tour trains
    environment.pop(STATIC, None)
    with (home / "log").open("w") as log:
        server = subprocess.Popen([sys.executable, "-m", "jupyterlab", *LAB, f"--ServerApp.root_dir={copy.parent}"],
                                  env=environment, cwd=copy, stdout=log, stderr=subprocess.STDOUT,
                                  start_new_session=True)
        try:
            yield _url(server, home), token
        finally:
            os.killpg(server.pid, signal.SIGTERM)  # its own group: the kernels end with it
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)


def _url(server: subprocess.Popen[bytes], home: Path) -> str:
    until = time.monotonic() + PATIENCE / 1000
    while time.monotonic() < until:
        for path in (home / "JUPYTER_RUNTIME_DIR").glob("jpserver-*.json"):
            try:
                return str(json.loads(path.read_text())["url"])
            except (ValueError, KeyError):
                pass  # half written
        if server.poll() is not None:
            break
        time.sleep(0.2)
    pytest.fail(f"JupyterLab did not start:\n{(home / 'log').read_text()[-2000:]}")


@pytest.fixture
def open_notebook(browser: Any, lab: tuple[str, str], tmp_path: Path) -> Iterator[Callable[[str], Any]]:
    """Open a notebook in a workspace of its own, run all its cells, and return the page.

    At the end: a screenshot, and no message in the console that is an error.
    """
    url, token = lab
    context = browser.new_context(viewport={"width": 1300, "height": 1800})
    context.route("**/*", lambda route: route.continue_() if "//127.0.0.1" in route.request.url
                  or route.request.url.startswith(("data:", "blob:")) else route.abort())
    complaints: list[str] = []

    def opened(name: str) -> Any:
        name, it = f"notebooks/{name}", context.new_page()
        it.set_default_timeout(PATIENCE)
        it.on("pageerror", lambda error: complaints.append(str(error)))
        it.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        it.goto(f"{url}lab/workspaces/{secrets.token_hex(4)}/tree/{name}?token={token}")
        it.wait_for_function(f"name => {PANEL}?.context?.path === name", arg=name)
        it.wait_for_function(f"{PANEL}?.context.sessionContext.session?.kernel?.status === 'idle'")
        it.evaluate(WATCH)
        it.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")
        for count, errors in it.evaluate(OUTPUTS):
            assert count is not None and not errors, errors
        return it

    yield opened
    for number, it in enumerate(context.pages):
        it.screenshot(path=tmp_path / f"screen{number}.png")
    context.close()
    assert complaints == []


def assert_shown(box: Any, expected: Panel) -> None:
    """Picture and words in the browser are those that Python computed; waits for them."""
    source = picture_of(expected.picture.value)
    try:
        box.page.wait_for_function("([box, source]) => box.querySelector('img')?.src === source",
                                   arg=[box.element_handle(), source], timeout=60_000)
    except sync_api.TimeoutError:
        pytest.fail(f"{expected.state}: the picture is another; it says: {box.locator('[role=status]').inner_text()}")
    assert box.locator("[role=status]").inner_text() == expected.view().text
    assert box.locator("img").evaluate("picture => picture.naturalWidth") == 1050


def press(box: Any, name: str, expected: Panel, place: int) -> None:
    """Move one control a step by keyboard, up or, at its end, down; and `expected` with it."""
    control = expected.controls[name]
    at = control.index
    if len(control.options) == 1:
        return
    down = at == len(control.options) - 1
    row = box.locator(".widget-box").first.locator(":scope > *").nth(place)
    assert row.locator(".widget-label").first.inner_text() == control.description
    if "widget-dropdown" in (row.get_attribute("class") or ""):
        row.locator("select").focus()  # JupyterLab keeps the arrows for itself until the list is open
        for key in ("Space", "ArrowUp" if down else "ArrowDown", "Enter"):
            box.page.keyboard.press(key)
    else:
        row.locator(".noUi-handle").focus()
        box.page.keyboard.press("ArrowLeft" if down else "ArrowRight")
    control.index = at - 1 if down else at + 1


def test_every_control_of_every_widget_answers_the_keyboard(open_notebook: Callable[[str], Any],
                                                            tmp_path: Path) -> None:
    it = open_notebook("widgets.ipynb")
    boxes, expected = it.locator(".regrow-widget"), gallery()
    # The last cell shows a still form, whose program ran before JupyterLab put it on the page.
    it.locator(".regrow-static[data-alive] input[aria-valuetext='50 %']").wait_for()
    it.wait_for_function("n => document.querySelectorAll('.regrow-widget img').length === n", arg=len(expected))
    assert boxes.count() == len(expected) == len(widgets.ALL)
    for number, panel in enumerate(expected):
        box = boxes.nth(number)
        box.scroll_into_view_if_needed()
        assert_shown(box, panel)
        box.evaluate(BLINKS)
        for place, name in enumerate(panel.controls):
            press(box, name, panel, place)
            assert_shown(box, panel)
        assert it.evaluate("window.blinks") == 0, "a picture vanished, or moved what is below it"
        box.screenshot(path=tmp_path / f"widget{number}.png")
    assert it.evaluate("window.kernelErrors") == []


def test_play_and_pause_by_keyboard(open_notebook: Callable[[str], Any]) -> None:
    it = open_notebook("widgets.ipynb")
    box, expected = it.locator(".regrow-widget").nth(2), widgets.rich_get_richer()
    slider, expected_words = box.locator(".widget-readout"), [words for words, _ in expected.controls["update"].options]
    button = box.locator(".widget-play button").first
    button.focus()
    it.keyboard.press("Enter")
    it.wait_for_function("([readout, words]) => words.indexOf(readout.textContent) >= 2",
                         arg=[slider.element_handle(), expected_words])
    it.keyboard.press("Enter")
    it.wait_for_timeout(1500)
    stopped = expected_words.index(slider.inner_text())
    it.wait_for_timeout(1500)
    assert expected_words.index(slider.inner_text()) == stopped < len(expected_words) - 1
    expected.controls["update"].index = stopped
    assert_shown(box, expected)
    assert it.evaluate("window.kernelErrors") == []


def test_the_tour_runs(open_notebook: Callable[[str], Any]) -> None:
    it = open_notebook("00_tour.ipynb")
    assert it.locator(".jp-OutputArea-output img, .jp-OutputArea-output svg").count() >= 4
    assert it.evaluate("window.kernelErrors") == []


def test_an_exception_in_a_callback_does_not_stay_hidden(open_notebook: Callable[[str], Any]) -> None:
    """It shows in no output: this test holds the one above to its word."""
    it = open_notebook("failing.ipynb")
    it.locator(".noUi-handle").focus()
    it.keyboard.press("ArrowRight")
    it.wait_for_function("window.kernelErrors.some(text => text.includes('ZeroDivisionError'))")
