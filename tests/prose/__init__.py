"""Where the numbers in README, docs and notebooks come from: a list of sentences for each page, with an expression over
the records for every number. See `said` for how a sentence is written, and `mend` for what to do when one fails."""

from prose import (
    docs,
    findings,
    fullscale,
    gpu,
    nb00,
    nb01,
    nb02,
    nb03,
    nb04,
    nb05,
    nb06,
    nb06b,
    nb07,
    nb08,
    nb09,
    nb10,
    nb11,
    nb12,
    nb13,
    nb14,
    nb15,
    nb16,
    nb17,
    nb18,
    nb19,
    nb20,
    nb21,
    nb22,
    nb23,
    nb24,
    nb25,
    protocol,
    readme,
    site,
    speed,
    widgets,
)

LISTS = (readme, findings, nb01, nb02, nb04, nb05, nb06, nb06b, nb08, nb09, nb10, nb11, nb12, nb13, nb14, nb15, nb16,
         nb17, nb18, nb19, nb21, nb22, nb23, nb24, protocol, fullscale, speed, gpu, *docs.COMPLETE)
COMPLETE = LISTS  # pages of which every number is in the list
LISTS += (site, nb00, nb03, nb07, nb20, nb25, widgets, *docs.IN_PART)  # of these, what comes from records
