"""Calibration of confidences: the schema that a model file carries, and what it computes.

`schema`: logistic functions and risk-coverage tables. `conditioning_parameters`: temperatures for fusing logits with
labelled keypoints. `annotator_model`: whether an annotator would label a keypoint. Fits are in `training.calibration`.
"""
