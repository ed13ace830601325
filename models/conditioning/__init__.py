"""Conditioning: missing keypoints from the network's logits, the labelled keypoints and a pose prior.

`prior`: Gaussian p(missing | known). `probability_maps`: distributions on a grid over the crop. `posterior`, `fusion`:
product of experts, two rounds. `features`: what the confidence of a conditioned keypoint is computed from.
"""
