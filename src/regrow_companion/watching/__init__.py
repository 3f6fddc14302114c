"""Watching somebody else's network while their own code trains it: what `regrow.observe` is made of."""
