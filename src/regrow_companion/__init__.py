"""What turns records into notebooks, figures, claims, widgets, sweeps and a site; `regrow` does without it."""
