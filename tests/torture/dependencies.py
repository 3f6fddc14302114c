"""What is installed, against what was tested, and against the advisories of PyPI where `pip-audit` can reach them."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from torture.promises import Stage, Tally

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
        tally.count("asked about", audit.asked)
        tally.count("known vulnerabilities", len(audit.known))
        tally.broken += audit.known
        if audit.unknown:
            tally.note = f"nothing is known of {', '.join(audit.unknown)}"
    return tally


@dataclass(frozen=True)
class Audit:
    """What pip-audit said: how many packages it asked about, a line per vulnerability, and what nothing is known of."""

    asked: int
    known: list[str]
    unknown: list[str]


def _audit(versions: dict[str, str]) -> Audit | None:
    """None if nobody could be asked about any package."""
    if find_spec("pip_audit") is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "requirements.txt"
        listed.write_text("".join(f"{name}=={version.partition('+')[0]}\n" for name, version in versions.items()))
        try:
            done = subprocess.run([sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip", "-r", str(listed),
                                   "--progress-spinner", "off", "--format", "json"],
                                  capture_output=True, text=True, timeout=AUDIT_SECONDS)
            packages = json.loads(done.stdout)["dependencies"]  # the exit code says 0 even if all were skipped
        except (subprocess.TimeoutExpired, json.JSONDecodeError):
            return None
    asked = [package for package in packages if "skip_reason" not in package]
    known = [f"{package['name']} {package['version']}: {weak['id']}" for package in asked for weak in package["vulns"]]
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    return Audit(len(asked), known, skipped) if asked else None
