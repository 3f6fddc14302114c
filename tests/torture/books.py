"""Notebooks killed while they run: the runner, papermill, the kernel, or all of them. No partial output ever counts as
finished, and the next run makes what an undisturbed one would have made."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from torture import victims
from torture.promises import Stage, Tally, Watch, environment

ID, STEM, LAST_WORDS = "99", "fig99", "the notebook came to its end"
CONFIG = victims.CONTENDED[0]
WHOM = ("all", "the kernel", "papermill", "the runner")
CELLS = (
    'profile = "auto"\nstore = ""\nout = ""',
    'import time\nimport matplotlib.pyplot as plt\nimport pandas as pd\n'
    'from regrow import RunConfig\nfrom regrow_companion import session\n'
    'book = session.start("99", profile=profile, store=store, out=out)',
    f'record = book.store.ensure(RunConfig.from_dict(dict({CONFIG.to_dict()!r})), checkpoint_seconds=0,\n'
    '                           progress=lambda step: time.sleep(0.05))',
    'fig, ax = plt.subplots()\nax.plot(record.train_loss)\nax.set(xlabel="epoch", ylabel="training loss")\n'
    f'book.save(fig, "{STEM}", data=pd.DataFrame({{"loss": record.train_loss}}), records=[record],\n'
    '          alt="The training loss of a tiny run over its epochs.")\nplt.close(fig)',
    f'print("{LAST_WORDS}")')


def run(stage: Stage, undisturbed: dict[str, str]) -> Tally:
    """Kill a notebook's processes at random moments, look, and let it finish."""
    tally, chance = Tally("kills of notebooks", stage.planned), random.Random(stage.seed)
    turn, longest = 0, 4.0  # seconds that the notebook takes; measured when it has finished once
    while tally.tried < stage.planned and not stage.over:
        turn += 1
        folder = stage.folder / f"book{turn}"
        watch = Watch(folder / "store", undisturbed)
        _write_notebook(folder)
        for _ in range(4):
            if tally.tried >= stage.planned or stage.over:
                break
            whom = WHOM[tally.tried % len(WHOM)]
            phase, killed, code = _one_run(folder, whom, chance.uniform(0.1, 0.9) * longest)
            if killed:
                tally.tried += 1
                tally.count(f"killed: {whom}")
                tally.count(phase)
                if whom in ("the kernel", "papermill") and code == 0 and phase != "finished":
                    tally.broken.append(f"{whom} was killed and the command ended with exit code 0")
            tally.broken += _half_done(folder) + watch.look()
        began = time.monotonic()
        _, _, code = _one_run(folder, "nobody", 0.0)
        longest = time.monotonic() - began
        tally.broken += _half_done(folder) + watch.look()
        if code or not _stamp(folder).is_file() or CONFIG.key not in watch.seen:
            tally.broken.append(f"an undisturbed run after the kills ended with exit code {code}")
        tally.count("notebooks finished")
    return tally


def _write_notebook(folder: Path) -> None:
    import nbformat

    book = nbformat.v4.new_notebook()
    book.metadata["kernelspec"] = {"name": "python3", "language": "python", "display_name": "Python 3"}
    book.cells = [nbformat.v4.new_code_cell(cell) for cell in CELLS]
    book.cells[0].metadata["tags"] = ["parameters"]
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(book, folder / f"{ID}_book.ipynb")


def _output(folder: Path) -> Path:
    return folder / "build" / "quick" / "notebooks" / f"{ID}_book.ipynb"


def _stamp(folder: Path) -> Path:
    return folder / "build" / "quick" / "stamps" / f"{ID}.json"


def _half_done(folder: Path) -> list[str]:
    """What counts as finished and is not."""
    from regrow_companion.figures import check_figure

    wrong = []
    if _output(folder).exists():
        cells = json.loads(_output(folder).read_text())["cells"]
        if LAST_WORDS not in json.dumps(cells[-1]["outputs"]):
            wrong.append("a notebook that did not come to its end has the name of a finished one")
    if _stamp(folder).exists():
        if not _output(folder).exists():
            wrong.append("a stamp without a notebook")
        wrong += [f"a stamp, but {trouble}" for trouble in check_figure(folder / "out", STEM)]
    return wrong


def _one_run(folder: Path, whom: str, after: float) -> tuple[str, bool, int]:
    """(how far it had come, whether somebody was killed, the exit code of the command)."""
    with (folder / "log").open("w") as log:
        runner = subprocess.Popen([sys.executable, "-m", "torture.books", str(folder)], stdout=log, stderr=log,
                                  env=environment(), start_new_session=True)
        if whom == "nobody":
            return "finished", False, runner.wait()
        with suppress(subprocess.TimeoutExpired):
            runner.wait(after)
        family = _family(runner.pid)
        phase = ("finished" if runner.poll() is not None else "in the kernel" if "the kernel" in family else
                 "starting the kernel" if "papermill" in family else "starting papermill")
        victims = family.values() if whom == "all" else [family[whom]] if whom in family else []
        for process in victims:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        code = runner.wait()
        if whom != "the runner":
            for process in family.values():  # an orphan of the runner may go on, as it would anywhere else
                with suppress(psutil.NoSuchProcess):
                    process.wait(30)
        return phase, bool(victims), code


def _family(pid: int) -> dict[str, psutil.Process]:
    found = {}
    with suppress(psutil.NoSuchProcess):
        runner = psutil.Process(pid)
        found["the runner"] = runner
        for child in runner.children(recursive=True):
            line = " ".join(child.cmdline())
            for name, sign in (("the kernel", "ipykernel_launcher"), ("papermill", "papermill")):
                if sign in line:
                    found[name] = child
                    break
    return found


def main(arguments: Sequence[str]) -> int:
    """Run the notebook of a folder as `python -m regrow notebooks` would."""
    from regrow_companion.figures import check_figure
    from regrow_companion.runner import many as runner

    folder = Path(arguments[0])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    entry = runner.Entry(ID, folder / f"{ID}_book.ipynb", "A notebook to be killed", "-", figures=(STEM,),
                         minutes={"quick": 0.1, "paper": 0.1})
    options = runner.Options("quick", folder / "store", folder / "out", build=folder / "build")
    return runner.run_all([entry], options, check=lambda entry: check_figure(options.out, STEM))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
