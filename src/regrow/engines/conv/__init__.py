"""The sparse engine for convolutions.

`kernels`, `gradients` and `means` are its compiled loops, made of `vectors`; a `layer` has connections; `passes` take
images through a `network`. Numba keeps compiled code beside the file that it is from, and does not see that another
file has changed: after a change in `vectors` or `kernels`, delete the __pycache__ folders.
"""
