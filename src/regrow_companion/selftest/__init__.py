"""`python -m regrow selftest`: what a person with a GPU runs first. A module per subject, `report` runs the checks."""
