"""regrow: how sparse neural networks grow. A reproducible companion to Matab, Mocanu and Wu.

    from regrow import RunConfig, Store
    record = Store("build/store").ensure(RunConfig(hidden=(300, 100), epochs=3))
"""

__version__ = "0.2.0"

from regrow.config import RunConfig
from regrow.errors import RegrowError
from regrow.record import Record
from regrow.store import Store

__all__ = ["Record", "RegrowError", "RunConfig", "Store", "__version__", "growth", "observe", "pruning", "sparsify"]


def __getattr__(name: str) -> object:
    """What comes with torch, which takes a second to import; records are read without it."""
    if name in ("growth", "pruning"):
        from regrow import rules  # brings torch

        return getattr(rules, name)
    if name == "sparsify":
        from regrow.sparsification import sparsify  # the same

        return sparsify
    if name == "observe":
        from regrow_companion.watching.observation import observe  # the one room above in the face; brings torch

        return observe
    raise AttributeError(f"module 'regrow' has no attribute {name!r}")
