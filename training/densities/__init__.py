"""Distributions of keypoints that networks predict, apart from any student's bins.

`peaks`: a network's distribution as a few places with spreads and shares. `joint`: several networks as one, the mean of
their densities, by parts of `models.inference`; `fit_joint` fits weights.
"""
