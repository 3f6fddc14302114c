"""Claims about why hubs grow (Sections 1, 5.4, 7, 8): they need activations or single connections followed over
updates, which ordinary records do not hold. Watched runs do (notebook 18), but for two seeds a rule, too few for an
interval."""

from __future__ import annotations

from collections.abc import Callable

from regrow.claims.evidence import Evidence
from regrow.claims.judgement import NOT_MEASURED, Claim, Outcome, undecidable

WATCHED = "Notebook 18 measures it on watched runs, two seeds a rule; this ledger gives verdicts from five."


def not_yet(remark: str = "") -> Callable[[Evidence], Outcome]:
    """A claim that no verdict can be given on; where we have a part of the answer, `remark` says which."""
    return lambda evidence: Outcome(NOT_MEASURED, (), remark)


CLAIMS = (
    Claim("rich-get-richer", "1, 2", "Neurons with more connections gain more connections.", (), not_yet(WATCHED),
          "the attachment kernel: chance of gaining or keeping a connection as a function of degree"),
    Claim("activation", "7", "Neurons with more connections are more active.", (), not_yet(WATCHED)),
    Claim("updates", "7", "Neurons with fewer connections receive smaller gradient updates.", (), not_yet(WATCHED)),
    Claim("core-survives", "5.4", "Connections among neurons of the core are more likely to be kept.", (), not_yet()),
    Claim("balance", "abstract", "Momentum growth balances speed and stability.", (), undecidable(
        "Balance is not defined; its two halves are the claims momentum-fast and momentum-stable.")),
    Claim("design", "1", "The findings help to design more efficient training.", (), undecidable(
        "No design is proposed that could be tested.")),
)
