"""Crop geometry and keypoint encodings: image pixels to crop pixels, SimCC bins and heatmap cells, and back.

`crop`: affine of a person's box and its inverse. `simcc`: labels, decoding, expected OKS. `heatmap`: decoding and flip
test. `regrid`: distributions between bins of different grids. `heads`: what a network's outputs are.
"""
