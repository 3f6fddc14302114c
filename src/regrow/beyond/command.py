"""`python -m regrow beyond NAME`: run an experiment and write its tables."""

from __future__ import annotations

from argparse import Namespace

from regrow import study
from regrow.beyond import experiment
from regrow.errors import ConfigError, RegrowError
from regrow.session import SHIPPED, default_store


def beyond(arguments: Namespace) -> int:
    """Watch the runs that were not watched yet, and write the tables of all of them."""
    experiment.check_name(arguments.name)
    study.check_profile(arguments.profile)
    if arguments.profile == "replay":
        raise RegrowError("The replay profile trains nothing, and notebooks read shipped tables without this command: "
                          "use --profile paper or quick.")
    if arguments.runs is not None and arguments.runs < 1:
        raise ConfigError(f"--runs must be 1 or more, not {arguments.runs}.")
    store = arguments.store or default_store(arguments.profile)
    own = store / experiment.FOLDER / "tables"
    out = arguments.out or (SHIPPED / experiment.FOLDER if arguments.profile == "paper" else own)
    written = experiment.watch(experiment.configs(arguments.profile)[:arguments.runs], store, out, data=arguments.data)
    print(f"{len(written)} runs watched; their tables are in {out}.")
    return 0
