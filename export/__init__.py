"""Export: from a trained checkpoint to files that describe themselves."""
