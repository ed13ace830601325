"""Fits on held-out people: pose prior, conditioning parameters, confidences and risk-coverage tables.

`masking` hides labelled keypoints and predicts them back; `samples` are its views of each person.
"""
