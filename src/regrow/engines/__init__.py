"""Ways of doing the same steps: dense (any model, any device), sparse (MLPs on the CPU)."""
