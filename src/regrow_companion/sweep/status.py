"""What a sweep is doing, from the store alone: it may run in another process, or on another machine with this disk."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from regrow import compact
from regrow.config import RunConfig
from regrow.errors import ConfigError, StoreError
from regrow.record import misfortune
from regrow.store import Store
from regrow_companion import study
from regrow_companion.console import clock, print_json, print_table
from regrow_companion.study import needs_of, store_of
from regrow_companion.sweep import heartbeat
from regrow_companion.sweep.heartbeat import Heartbeat

WORDS = ("done", "running", "failed", "interrupted", "waiting")
HOUR = 3600.0
SAMPLES = 3  # records of a kind that are asked how long they took


@dataclass(frozen=True)
class Standing:
    """Where some runs stand. `eta` is in seconds; None if nothing runs, or if nothing is known of what is left.

    `unknown` runs are left of which no like has been timed; they are not in `eta`.
    """

    statuses: dict[RunConfig, str]
    running: tuple[Heartbeat, ...]
    failures: dict[str, str]  # key -> the last line of its log
    misfortunes: dict[str, str]  # key -> "diverged" or "collapsed", of finished runs
    finished_last_hour: int
    eta: float | None
    unknown: int

    def counts(self, configs: Sequence[RunConfig]) -> dict[str, int]:
        """How many of these runs are done, running, and so on."""
        found = [self.statuses[config] for config in configs]
        return {word: found.count(word) for word in WORDS}


def statuses(store: Store, configs: Sequence[RunConfig], beats: Sequence[Heartbeat]) -> list[str]:
    """How each run stands: as `Store.status` says it, and running also if it gives signs of life from elsewhere."""
    alive = {key for beat in beats if beat.alive for key in beat.keys}
    begun = {key for beat in beats for key in beat.keys}

    def status(config: RunConfig) -> str:
        found = store.status(config)
        if found != "done" and config.key in alive:
            return "running"
        return "interrupted" if found == "waiting" and config.key in begun else found

    return [status(config) for config in configs]


def standing(store: Store, configs: Sequence[RunConfig]) -> Standing:
    """Look at the store once."""
    beats = heartbeat.read(store.root)
    found = dict(zip(configs, statuses(store, configs, beats), strict=True))
    by_key = {config.key: config for config in configs}
    # A training in flight says so itself; of one without a sign of its own nothing but its lock is known.
    running = tuple(beat for beat in beats if any(found.get(by_key[key]) == "running" for key in beat.keys
                                                  if key in by_key))
    failures = {config.key: store.failure(config) or "" for config, status in found.items() if status == "failed"}
    now, ages, misfortunes = time.time(), [], {}
    for config, status in found.items():
        if status == "done" and (path := store.find(config.key)) is not None:
            if path == store.record_path(config.key):
                ages.append(now - path.stat().st_mtime)
            if said := misfortune(path):
                misfortunes[config.key] = said
    eta, unknown = _eta(store, found, running, {key: beat for beat in beats for key in beat.keys})
    return Standing(found, running, failures, misfortunes, sum(age < HOUR for age in ages), eta, unknown)


def _eta(store: Store, stand: dict[RunConfig, str], running: Sequence[Heartbeat],
         beats: dict[str, Heartbeat]) -> tuple[float | None, int]:
    """Seconds until all is done if as many trainings go on as now, each taking as long as others of its kind took.

    Failed runs are not counted: nothing tries them again by itself.
    """
    in_flight = {key for beat in running for key in beat.keys}
    left = [config for config, status in stand.items()
            if status not in ("done", "failed") and config.key not in in_flight]
    own = [beat.seconds_left for beat in running]
    known = [seconds for seconds in own if seconds is not None]
    seconds_of: dict[RunConfig, float | None] = {}
    for kind in {_kind(config) for config in left}:
        seconds_of[kind] = _measured(store, stand, running, kind)
    total, unknown = sum(known), len(own) - len(known)
    for config in left:
        seconds = seconds_of[_kind(config)]
        if seconds is None:
            unknown += 1
        else:
            begun = beats.get(config.key)
            total += seconds * (1 - begun.step / begun.steps if begun else 1)
    if not running or not total:
        return None, unknown
    return max([total / len(running), *known]), unknown


def _kind(config: RunConfig) -> RunConfig:
    """Runs of a kind take equally long."""
    return config.but(seed=0)


def _measured(store: Store, stand: dict[RunConfig, str], running: Sequence[Heartbeat],
              kind: RunConfig) -> float | None:
    """How long a run of this kind took or takes; None if none has been timed."""
    alike = {config.key: config for config in stand if _kind(config) == kind}
    done = [config for config in alike.values() if stand[config] == "done"][:SAMPLES]
    taken = [seconds for config in done if (seconds := _taken(store, config)) is not None]
    taken = taken or [beat.steps / beat.rate / len(beat.keys) for beat in running
                      if beat.rate and any(key in alike for key in beat.keys)]
    return median(taken) if taken else None


def _taken(store: Store, config: RunConfig) -> float | None:
    """Seconds of a finished run. A damaged record is left where it is: who only looks changes nothing."""
    try:
        return float(compact.load(store.record_path(config.key)).provenance["seconds"])
    except (FileNotFoundError, StoreError, KeyError):
        return None


def print_status(arguments: Namespace) -> int:
    """Print counts per figure and table, what runs, what failed, and how long it may still take; again if asked."""
    if arguments.watch is not None and not arguments.watch > 0:
        raise ConfigError(f"--watch must be a number of seconds above 0, not {arguments.watch:g}.")
    needs, store = needs_of(arguments), store_of(arguments)
    configs = study.distinct(needs, arguments.profile)
    while True:
        found = standing(store, configs)
        rows = {need: found.counts(study.runs(need, arguments.profile)) for need in needs}
        total = found.counts(configs)
        if arguments.json:
            print_json(_as_json(arguments.profile, store, rows, total, found))
        else:
            if arguments.watch is not None:
                print(f"\n---- {time.strftime('%H:%M:%S')} {store.root}")
            _print(rows, total, found, store, {config.key: config for config in configs})
        left = any(found.statuses[config] not in ("done", "failed") for config in configs)
        if arguments.watch is None or not left:
            return 0
        time.sleep(arguments.watch)


def _as_json(profile: str, store: Store, rows: dict[str, dict[str, int]], total: dict[str, int],
             found: Standing) -> dict[str, Any]:
    running = [{"keys": beat.keys, "step": beat.step, "steps": beat.steps, "steps_per_second": beat.rate,
                "seconds_left": beat.seconds_left, "where": beat.where, "age": round(beat.age, 1)}
               for beat in found.running]
    return {"profile": profile, "store": str(store.root), "needs": rows, "total": total, "running": running,
            "failed": {key: {"error": error, "log": str(store.failure_path(key))}
                       for key, error in found.failures.items()},
            "misfortunes": found.misfortunes, "finished_last_hour": found.finished_last_hour,
            "eta_seconds": found.eta, "eta_without_runs": found.unknown}


def _print(rows: dict[str, dict[str, int]], total: dict[str, int], found: Standing, store: Store,
           configs: dict[str, RunConfig]) -> None:
    print_table(("id", *WORDS), [(need, *row.values()) for need, row in (rows | {"distinct": total}).items()])
    if found.running:
        print()
        print_table(("running", "step", "of", "%", "steps/s", "left", "heard", "where"),
                    [(_named(beat, configs), f"{beat.step:,}", f"{beat.steps:,}", round(100 * beat.step / beat.steps),
                      f"{beat.rate:.1f}" if beat.rate else "-",
                      clock(beat.seconds_left) if beat.seconds_left is not None else "-",
                      f"{max(0, beat.age):.0f} s ago", beat.where)
                     for beat in found.running])
    if found.failures:
        print("\nfailed (left out until 'run --retry-failed'; the log is the file named)")
        for key, error in found.failures.items():
            print(f"{key} {configs[key].model} {configs[key].method}: {error}\n    {store.failure_path(key)}")
    if found.misfortunes:
        print("\nwent wrong by themselves (finished, kept, and counted in every table)")
        for key, said in found.misfortunes.items():
            what = {"diverged": "the loss became NaN or infinite", "collapsed": "collapsed to chance"}[said]
            print(f"{key} {configs[key].model} {configs[key].dataset} {configs[key].method}: {what}")
    print(f"\n{found.finished_last_hour} of these runs finished in the last hour; {_expectation(found)}")


def _named(beat: Heartbeat, configs: dict[str, RunConfig]) -> str:
    first = next(configs[key] for key in beat.keys if key in configs)
    more = f" +{len(beat.keys) - 1}" if len(beat.keys) > 1 else ""
    return f"{first.key} {first.model} {first.dataset} {first.method} seed {first.seed}{more}"


def _expectation(found: Standing) -> str:
    left = sum(status not in ("done", "failed") for status in found.statuses.values())
    if not left:
        return "nothing is left to train."
    if not found.running:
        silent = sum(status == "running" for status in found.statuses.values())
        return f"{left} are left, and " + (f"{silent} at work do not say how far they are." if silent
                                           else "nothing is running.")
    if found.eta is None:
        return f"{left} are left, and nobody knows yet for how long."
    without = f", not counting {found.unknown} whose like has not been timed" if found.unknown else ""
    return f"{left} are left: about {clock(found.eta)} with {len(found.running)} at work as now{without}."
