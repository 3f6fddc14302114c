"""`python -m regrow beyond NAME`: run an experiment and write its tables."""

from __future__ import annotations

from argparse import Namespace
from importlib import import_module

from regrow.config import nearest
from regrow.errors import ConfigError, RegrowError
from regrow_companion import study
from regrow_companion.section8 import cases
from regrow_companion.section8 import nb18_mechanism as mechanism
from regrow_companion.study import SHIPPED, default_store

# Name -> module with an EXPERIMENT (see `cases`), imported when it is asked for; that of mechanism keeps in a store.
MODULES = {"noise": "regrow_companion.section8.nb21_noise", "layers": "regrow_companion.section8.nb22_layers",
           "tickets": "regrow_companion.section8.nb23_tickets",
           "collapse": "regrow_companion.section8.nb24_collapse", "anybody": "regrow_companion.section8.nb25_anybody"}
NAMES = ("mechanism", *MODULES)


def beyond(arguments: Namespace) -> int:
    """Perform the cases of an experiment that were not performed yet, and write the tables of all of them."""
    if arguments.name not in NAMES:
        raise ConfigError(f"There is no experiment {arguments.name!r}{nearest(arguments.name, NAMES)}.")
    study.check_profile(arguments.profile)
    if arguments.profile == "replay":
        raise RegrowError("The replay profile trains nothing, and notebooks read shipped tables without this command: "
                          "use --profile paper or quick.")
    if arguments.runs is not None and arguments.runs < 1:
        raise ConfigError(f"--runs must be 1 or more, not {arguments.runs}.")
    store = arguments.store or default_store(arguments.profile)
    out = arguments.out or (SHIPPED / cases.FOLDER if arguments.profile == "paper" else cases.own_tables(store))
    watching = arguments.name == "mechanism"
    chosen = mechanism.experiment(store) if watching else import_module(MODULES[arguments.name]).EXPERIMENT
    # Watched runs are kept whole: their tables are derived anew, so that they follow a changed definition.
    written = cases.perform(chosen, chosen.cases(arguments.profile)[:arguments.runs], out, arguments.data,
                            anew=watching)
    print(f"{len(written)} cases of {arguments.name} are done; their tables are in {out}.")
    return 0
