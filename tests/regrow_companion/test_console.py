"""The progress bar in a log, and on something that looks like a terminal."""

from __future__ import annotations

import io
import sys

import pytest

from regrow_companion import console
from regrow_companion.console import Progress, clock, interactive


@pytest.fixture
def time_of(monkeypatch: pytest.MonkeyPatch):
    """A clock that the test sets; output goes to a log."""
    now = [1000.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(console, "interactive", lambda: False)
    return now


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (65, "1:05"), (59.6, "1:00"), (4125, "1:08:45"),
                                               (3600, "1:00:00"), (360_000, "100:00:00")])
def test_clock(seconds, text):
    assert clock(seconds) == text


def test_log_lines_are_rare_and_tell_the_time_left(time_of):
    stream = io.StringIO()
    with Progress(100, "training", stream=stream) as bar:
        for second in range(1, 61):
            time_of[0] = 1000 + second
            bar.set(second / 2, "1 of 4 runs done")
    lines = stream.getvalue().splitlines()
    assert len(lines) == 4
    # 15 s for 7.5 %: 185 s for the other 92.5 %
    assert lines[0] == "training: 8 %, 0:15 so far, about 3:05 left (1 of 4 runs done)"


def test_work_done_before_does_not_spoil_the_estimate(time_of):
    stream = io.StringIO()
    bar = Progress(100, "training", stream=stream)
    bar.before = 50
    time_of[0] += 20
    bar.set(50)
    assert stream.getvalue() == "", "nothing done yet, nothing to say"
    bar.set(60)
    assert stream.getvalue() == "training: 60 %, 0:20 so far, about 1:20 left\n"


def test_a_training_that_goes_on_from_its_checkpoint(time_of):
    """Step 51 is the first: half of the time to come would be missing if the first 50 counted."""
    stream = io.StringIO()
    bar = Progress(100, "training", stream=stream)
    for step in range(51, 61):
        time_of[0] += 2
        bar.step(step)
    assert stream.getvalue() == "training: 58 %, 0:16 so far, about 1:24 left\n"


def test_no_estimate_from_almost_nothing(time_of):
    stream = io.StringIO()
    bar = Progress(1000, "training", stream=stream)
    time_of[0] += 20
    bar.set(1)
    assert "not known yet" in stream.getvalue()
    time_of[0] += 60
    bar.set(4)
    assert stream.getvalue().endswith("training: 0 %, 1:20 so far, about 5:32:00 left\n"), "long enough"


def test_short_work_says_nothing_in_a_log(time_of, capsys):
    with Progress(3, "training") as bar:
        for step in range(4):
            bar.set(step)
    assert capsys.readouterr() == ("", "")


def test_a_bar_on_a_terminal_reaches_its_end(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setitem(sys.modules, "ipykernel", None)
    monkeypatch.delitem(sys.modules, "ipykernel")
    assert interactive()
    with Progress(4, "mlp gradient") as bar:
        for step in (1, 2.5, 4):
            bar.set(step, "half")
        assert bar.bar.n == 4 and bar.bar.total == 4 and bar.bar.format_dict["initial"] == 0
    with Progress(4, "mlp gradient") as bar:
        bar.step(3)
        assert bar.bar.n == 3 and bar.bar.format_dict["initial"] == 2, "the rate is that of one step"
    assert "mlp gradient" in terminal.getvalue()


def test_a_pipe_is_not_a_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    assert not interactive()
