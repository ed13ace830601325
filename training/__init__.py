"""Training of unified and low-resolution students, fits on held-out people, and evaluation (which needs no torch).

From the ground up: `config` recipes, `densities` what networks predict, `data` people and crops, `teachers`
distillation targets, `shards` packed sets, `cdkd` paper B's losses, `loop` the training, `pack` writes packed sets.
`evaluation` and `calibration` measure and fit, `detector` trains the person detector, `cli` has the commands.
"""
