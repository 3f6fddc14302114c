"""What is installed, against what was tested, and against the advisories of PyPI where `pip-audit` can reach them."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from regrow.torture.tally import Stage, Tally

AUDIT_SECONDS = 120.0


def needed(root: str = "regrow") -> dict[str, str]:
    """Name and version of every installed package that regrow needs, directly or in turn, without extras."""
    found: dict[str, str] = {}
    todo = [canonicalize_name(root)]
    while todo:
        name = todo.pop()
        try:
            lines = importlib.metadata.requires(name) or []
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        if name in found:
            continue
        found[name] = version
        needs = map(Requirement, lines)
        todo += [canonicalize_name(need.name) for need in needs
                 if need.marker is None or need.marker.evaluate({"extra": ""})]
    return dict(sorted(found.items()))


def run(stage: Stage) -> Tally:
    """List the versions; count known vulnerabilities where that can be asked."""
    versions = {name: version for name, version in needed().items() if name != "regrow"}
    if not versions:  # regrow is used from its sources and not installed: then everything that is
        versions = {canonicalize_name(found.name): found.version for found in importlib.metadata.distributions()}
    versions = dict(sorted(versions.items()))
    tally = Tally("dependencies", len(versions), tried=len(versions))
    tally.count("packages", len(versions))
    audit = _audit(versions)
    if audit is None:
        listed = ", ".join(f"{name} {version}" for name, version in versions.items())
        tally.note = f"pip-audit is not installed or reaches no data, so here are the versions: {listed}"
    else:
        tally.count("known vulnerabilities", len(audit))
        tally.broken += audit
    return tally


def _audit(versions: dict[str, str]) -> list[str] | None:
    """A line per known vulnerability; None if nobody could be asked."""
    if find_spec("pip_audit") is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "requirements.txt"
        listed.write_text("".join(f"{name}=={version.partition('+')[0]}\n" for name, version in versions.items()))
        try:
            done = subprocess.run([sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip", "-r", str(listed),
                                   "--progress-spinner", "off"], capture_output=True, text=True, timeout=AUDIT_SECONDS)
        except subprocess.TimeoutExpired:
            return None
    if done.returncode == 0:
        return []
    table = done.stdout.splitlines()[2:]  # below the heads of the columns; without them it failed in another way
    return [" ".join(line.split()) for line in table] or None
