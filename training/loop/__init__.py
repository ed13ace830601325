"""The training loop: `train` leads, `prepare` makes what it trains on, `step` and `losses` are one step."""
