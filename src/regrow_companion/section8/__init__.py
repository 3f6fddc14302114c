"""Experiments that the paper left for later (its Section 8), for notebooks 18 to 24.

Modules carry the number of the notebook that shows them. `cases` keeps and reads all their tables; `watched` is a run
that is watched and not changed, `strength` measures degrees and weights for two notebooks, `command` performs.
"""
