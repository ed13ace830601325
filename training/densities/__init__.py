"""Distributions of keypoints that networks predict, apart from any student's bins.

`peaks`: a network's distribution as a few places with spreads and shares. `joint`: several networks as one, the mean of
their densities; `joint_cells` brings them to one grid, `joint_turns` adds turned pictures, `fit_joint` fits weights.
"""
