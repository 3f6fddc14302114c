"""Claims about why hubs grow (Sections 1, 5.4, 7, 8): they need activations or single connections followed over
updates, which no run records yet."""

from __future__ import annotations

from regrow.claims.evidence import Evidence, NotMeasured
from regrow.claims.judgement import Claim, Outcome, undecidable


def not_yet(evidence: Evidence) -> Outcome:
    raise NotMeasured


CLAIMS = (
    Claim("rich-get-richer", "1, 2", "Neurons with more connections gain more connections.", (), not_yet,
          "the attachment kernel: chance of gaining or keeping a connection as a function of degree"),
    Claim("activation", "7", "Neurons with more connections are more active.", (), not_yet),
    Claim("updates", "7", "Neurons with fewer connections receive smaller gradient updates.", (), not_yet),
    Claim("core-survives", "5.4", "Connections among neurons of the core are more likely to be kept.", (), not_yet),
    Claim("balance", "abstract", "Momentum growth balances speed and stability.", (), undecidable(
        "Balance is not defined; its two halves are the claims momentum-fast and momentum-stable.")),
    Claim("design", "1", "The findings help to design more efficient training.", (), undecidable(
        "No design is proposed that could be tested.")),
)
