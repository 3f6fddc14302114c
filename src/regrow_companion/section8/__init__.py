"""Experiments that the paper left for later (its Section 8): they watch training runs without changing them."""
