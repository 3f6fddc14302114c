"""The exercises of the notebooks from 18 on, which go beyond the paper: a module a notebook, as in `replication`."""
