"""The exercises of the notebooks 00 to 17, which replicate the paper: a module a notebook, a mapping EXERCISES each."""
