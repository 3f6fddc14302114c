"""Notebooks through papermill: their index, one of them, many at once."""
