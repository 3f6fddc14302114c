"""Rules of the user's in files of their own: REGROW_RULES=my_rules.py makes them part of every command and notebook."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
from pathlib import Path

from regrow.choices import CHOICES, FINGERPRINTS, OWN
from regrow.errors import ConfigError, RegrowError

VARIABLE = "REGROW_RULES"
_loaded: set[Path] = set()


def load() -> None:
    """Run the files that REGROW_RULES names, separated as in PATH, once in a process.

    What they register with @regrow.growth and @regrow.pruning joins the studies: every figure and table that compares
    strategies, in every profile that trains. The whole file counts as the rules' code, so a change makes new runs and
    never reuses old ones. The variable reaches worker processes and kernels by itself. Raises ConfigError for a file
    that is missing, fails, or registers nothing.
    """
    for word in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
        path = Path(word).expanduser().resolve()
        if path in _loaded:
            continue
        _loaded.add(path)  # before it runs: importing the built-in rules calls this function again
        try:
            importlib.import_module("regrow.topology_update")
            _run(path)
        except BaseException:
            _loaded.discard(path)
            raise


def _run(path: Path) -> None:
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise ConfigError(f"{VARIABLE} names {path}, which cannot be read ({error.strerror}): mend or unset "
                          "it.") from None
    before = {kind: set(CHOICES[kind]) for kind in OWN}
    name = f"regrow_rules_{digest}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{VARIABLE} names {path}, which is not a Python file.")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except RegrowError:
        raise
    except Exception as error:
        raise ConfigError(f"{path}, named by {VARIABLE}, fails: {type(error).__name__}: {error}.") from error
    new = {kind: [rule for rule in CHOICES[kind] if rule not in before[kind]] for kind in OWN}
    if not any(new.values()):
        raise ConfigError(f"{path}, named by {VARIABLE}, registers no rule: add @regrow.growth(\"name\") or "
                          "@regrow.pruning(\"name\") to a function.")
    for kind, rules in new.items():
        OWN[kind] += rules
        FINGERPRINTS.update({f"{kind} {rule}": digest for rule in rules})
