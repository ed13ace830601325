"""Teachers: peaks of their distributions, cached or predicted for each batch; pseudo-labels; left/right correction.

`joint` reads several networks as one.
"""
