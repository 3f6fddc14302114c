"""The selftest passes here, notices what is wrong, and never lets one failure hide another."""

from __future__ import annotations

import getpass
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_cuda import fake_cuda

from regrow import provenance
from regrow.config import RunConfig
from regrow.data import scale_and_shift
from regrow.engines import dense
from regrow.engines.batched import BatchedEngine
from regrow.errors import RegrowError
from regrow_companion import cli
from regrow_companion.selftest import agreement, command, precision, report, resuming, sweeping, times, waiting
from regrow_companion.selftest.following import MLP, followed, images_of
from regrow_companion.selftest.report import Check, Found, Skipped, Where
from regrow_companion.sweep import step_times

LINE = re.compile(r"\[(OK|FAIL|SKIP)\] +\S.*?  +\d+\.\d s  \S")
TINY = RunConfig(hidden=(20, 10), train_limit=256, batch_size=32, epochs=300)


@pytest.fixture
def gpu() -> Iterator[None]:
    with fake_cuda():
        yield
    scale_and_shift.cache_clear()  # it keeps tensors of every device
    agreement._reference.cache_clear()
    precision._exact.cache_clear()


def outcomes(checks: list[Check], seconds: float = 100) -> list[report.Outcome]:
    return report.outcomes(checks, lambda line: None, seconds)


@pytest.mark.slow
def test_the_processor_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                              capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "gpu.json"
    monkeypatch.chdir(tmp_path)
    assert cli.main(["selftest", "--device", "cpu", "--quick", "--out", str(out)]) == 0
    assert list(tmp_path.iterdir()) == [out]
    lines = capsys.readouterr().out.splitlines()
    assert all(LINE.match(line) for line in lines[1:-1]) and len(lines) > 30
    assert "[FAIL]" not in "".join(lines) and sum(line.startswith("[OK]") for line in lines) >= 20
    said = json.loads(out.read_text())
    assert [f"[{check['state']}]" for check in said["checks"]] == [line.split()[0] for line in lines[1:-1]]
    assert said["device"] == "cpu" and said["versions"]["torch"] == provenance.version("torch")
    assert step_times.load(out).times == {}
    text = out.read_text()
    for private in (str(tmp_path), socket.gethostname(), str(Path.home())):
        assert private not in text
    assert cli.main(["plan", "--hardware", str(out), "--only", "fig16", "--store", str(tmp_path / "none")]) == 0
    assert "Not all of what is left was measured" in capsys.readouterr().out


@pytest.mark.parametrize("device", ["cuda:99", "gpu", "cuda:-1"])
def test_no_such_device_is_one_sentence_and_nothing_is_written(device: str, tmp_path: Path,
                                                               capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["selftest", "--device", device, "--out", str(tmp_path / "gpu.json")]) == 2
    said = capsys.readouterr()
    assert said.out == "" and re.fullmatch(r"regrow: There is no .*\.\n", said.err) and not list(tmp_path.iterdir())


def test_what_somebody_else_wrote_is_left_alone(tmp_path: Path) -> None:
    for text in ("mine", "[]", '{"format": "regrow step times 1"}'):
        (tmp_path / "mine.json").write_text(text)
        with pytest.raises(RegrowError, match="was not written by selftest --out"):
            command.check_writable(tmp_path / "mine.json")
    with pytest.raises(RegrowError, match="Cannot write"):
        command.check_writable(tmp_path / "mine.json" / "gpu.json")
    command.check_writable(tmp_path / "new" / "gpu.json")
    assert (tmp_path / "mine.json").read_text() == text and not (tmp_path / "new").exists()


def fails(error: BaseException) -> Found:
    raise error


def test_one_failure_does_not_hide_the_others() -> None:
    checks = [Check("one", lambda: fails(ValueError("first\nsecond"))), Check("two", lambda: Found("fine", "limit")),
              Check("three", lambda: fails(Skipped("needs a GPU"))),
              Check("four", lambda: Found("2", "1", ok=False, remedy="mend it")),
              Check("five", lambda: fails(RegrowError("One sentence.")))]
    found = outcomes(checks)
    assert [outcome.state for outcome in found] == ["FAIL", "OK", "SKIP", "FAIL", "FAIL"]
    lines = [re.sub(r"\d\.\d", "0.0", outcome.line(5)) for outcome in found]
    assert lines[0] == f"[FAIL] one       0.0 s  ValueError: first  -> {report.REPORT}"
    assert lines[1] == "[OK]   two       0.0 s  fine (limit)"
    assert found[3].line(5).endswith("2 (1)  -> mend it") and found[4].value == "One sentence."


def test_a_fault_of_the_device_ends_the_rest_with_one_sentence(monkeypatch: pytest.MonkeyPatch,
                                                               capsys: pytest.CaptureFixture[str]) -> None:
    fault = RuntimeError("CUDA error: an illegal memory access was encountered\nCUDA kernel errors might ...")
    checks = [Check("one", lambda: Found("fine")), Check("two", lambda: fails(fault)),
              Check("three", lambda: Found("fine"))]
    monkeypatch.setattr(command, "all_checks", lambda where, kept: checks)
    assert cli.main(["selftest", "--device", "cpu"]) == 1
    said = capsys.readouterr()
    assert [line.split()[0] for line in said.out.splitlines()[1:-1]] == ["[OK]", "[FAIL]", "[SKIP]"]
    assert said.out.splitlines()[-1] == "1 passed, 1 failed, 1 skipped in 0 s."
    assert re.fullmatch(r"regrow: The device failed in 'two'.*\.\n", said.err)


def test_time_is_limited() -> None:
    began = time.monotonic()
    checks = [Check("late", lambda: time.sleep(20) or Found(""), 0.1), Check("fine", lambda: Found("")),
              Check("cut off", lambda: time.sleep(20) or Found("")), Check("more", lambda: Found(""))]
    found = outcomes(checks, seconds=1)
    assert [outcome.state for outcome in found] == ["FAIL", "OK", "SKIP", "SKIP"] and time.monotonic() - began < 10
    assert "took longer" in found[0].value and found[2].value == found[3].value == "the time is over"


@pytest.mark.slow
def test_a_device_that_never_answers_ends_the_command() -> None:
    """In a process of its own, as that ends at once; the check swallows the signal, as a driver would."""
    program = """if True:
        import time
        from regrow_companion.selftest import report

        def hangs():
            while True:
                try:
                    time.sleep(60)
                except TimeoutError:
                    pass

        report.PATIENCE = 0.3
        report.outcomes([report.Check("late", hangs, 0.1)], print, 100)
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100,
                          env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))})
    assert done.returncode == 1 and done.stderr == ""
    assert re.fullmatch(r"\[FAIL\] late +0\.4 s  does not answer  -> .*\n", done.stdout)


def test_nothing_private_is_kept() -> None:
    text = f"OSError: [Errno 28] in '/home/{getpass.getuser()}/x y/store/a.npz' and C:\\Users\\me\\b.npz of " \
           f"{socket.gethostname()} as {getpass.getuser()}, 3/4 of it"
    kept = command.anonymous(text)
    for private in (getpass.getuser(), socket.gethostname(), "home", "Users"):
        assert private not in kept.split() and f"/{private}" not in kept
    assert "a.npz" in kept and "b.npz" in kept and "3/4" in kept


def test_nor_is_it_in_the_file(tmp_path: Path) -> None:
    ended = report.outcomes([report.Check("fails", lambda: 1 / len(Path("/home/me/none.npz").read_bytes()), 1)],
                            lambda line: None, 100)
    command.write(tmp_path / "gpu.json", {}, ended)
    assert "none.npz" in (said := (tmp_path / "gpu.json").read_text()) and "home" not in said


def test_an_error_is_told_in_a_line_that_a_terminal_holds() -> None:
    assert report.one_line(ValueError("\n  first \nsecond")) == "ValueError: first"
    assert report.one_line(RegrowError("Do this.")) == "Do this." and report.one_line(KeyError()) == "KeyError"
    assert len(report.one_line(ValueError("x" * 1000))) == 300


def test_agreement_notices_wiring_losses_and_weights_that_differ() -> None:
    trace = followed((MLP,), images_of(MLP, "cpu"), "cpu", "dense")
    assert agreement.compared(trace, trace, 0, 0).ok
    flipped = [[{name: ~mask for name, mask in of.items()} for of in at] for at in trace.masks]
    found = agreement.compared(replace(trace, masks=[*trace.masks[:2], *flipped[2:]]), trace)
    assert not found.ok and "masks of fc1 differ from update 3 on, at 78400 of 78400" in found.value
    assert not agreement.compared(replace(trace, explored=flipped), trace).ok
    assert not agreement.compared(replace(trace, masks=trace.masks[1:]), trace).ok
    for change in (1e-7, float("nan")):
        other = [{name: weight + change for name, weight in of.items()} for of in trace.weights]
        assert not agreement.compared(replace(trace, weights=other), trace).ok
    assert not agreement.compared(replace(trace, losses=[[loss + 1e-8 for loss in trace.losses[0]]]), trace).ok


def test_an_engine_that_is_wrong_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that decay once more in a step: the same wiring for a while, other numbers."""
    right = BatchedEngine.step

    def step(engine: BatchedEngine) -> None:
        right(engine)
        for weight in engine.weights:
            weight.data.mul_(1 - 1e-6)

    assert agreement.agrees((MLP,), "cpu", "batched").ok
    monkeypatch.setattr(BatchedEngine, "step", step)
    assert not agreement.agrees((MLP,), "cpu", "batched").ok
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_checkpoint_that_forgets_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resuming.resumes([MLP], "cpu", "dense").ok
    right = dense.DenseEngine.state
    monkeypatch.setattr(dense.DenseEngine, "state", lambda engine: {
        name: tensor for name, tensor in right(engine).items() if not name.startswith("momentum/")})
    assert not resuming.resumes([MLP], "cpu", "dense").ok


def test_all_that_needs_no_kernels_passes_on_a_claimed_gpu(gpu: None) -> None:
    """Every check of engines, as on a GPU, with tensors that claim to be there."""
    where = Where("cuda", quick=True)
    checks = [*agreement.checks(where), *precision.checks(where), *waiting.checks(where), *resuming.checks(where)]
    states = {outcome.name: (outcome.state, outcome.value) for outcome in outcomes(checks)}
    skipped = {name for name, (state, _) in states.items() if state == "SKIP"}
    assert skipped <= {"precision: mlp compiled", "precision: convnet compiled", "waiting: compiled mlp"}
    assert {name: said for name, said in states.items() if said[0] == "FAIL" and "compiled" not in name} == {}


def test_a_step_that_waits_fails(gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    right = dense.DenseEngine.backward

    def backward(engine: dense.DenseEngine, images: Any, labels: Any, step: int) -> None:
        right(engine, images, labels, step)
        engine.loss.item()

    monkeypatch.setattr(dense.DenseEngine, "backward", backward)
    found = waiting._waits([MLP], "dense", Where("cuda"))
    assert not found.ok and found.value == "a step waits for the device"
    assert torch.cuda.get_sync_debug_mode() == "default"


@pytest.mark.slow
def test_a_sweep_in_trouble_has_all_its_records_in_the_end() -> None:
    """One worker is killed, one meets a fault of its device, as it would be told."""
    found = sweeping.troubled(sweeping.sweep_runs(False), "cpu", [sweeping.KILL, sweeping.FAULT])
    assert found.value.startswith("5 of 5 records, ") and "happened" not in found.value


def test_times_of_a_small_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_times, "PROBE_SECONDS", 0.01)
    runs = [TINY.but(seed=seed, grow=grow, update_interval=times.UPDATE) for seed, grow in enumerate(
        ("random", "gradient", "momentum"))]
    for configs, engine in ((runs[:1], "dense"), (runs[:2], "batched"), (runs, "batched")):
        row = times.timed(configs, "cpu", engine, steps=3)
        assert all(row[name] > 0 for name in row if name.endswith("ms") or name == "checkpoint_mib")
        assert row["update_ms"] > 0 and row["kernels"] == 0
    kept = times.Kept("a processor")
    found = times.measured_grid([(TINY,), (TINY.but(model="rbm-small", hidden=RunConfig.hidden),)], Where("cpu"), kept)
    assert found.ok and len(kept.times) == 2 and kept.measured(Where("cpu")).of((TINY,)) is not None
