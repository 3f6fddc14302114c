"""Deliberate trouble: kills, contention, damage, full disks, bad input. `python -m regrow torture`."""
