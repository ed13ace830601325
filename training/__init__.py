"""Training: recipes, data pipeline, losses, the loop, and evaluation (which needs no torch)."""
