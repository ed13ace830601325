"""The training loop: `train` is the entry, `prepare` loads people and teachers, `step` and `losses` are one step."""
