"""Pose predictors: pictures and boxes to keypoints with confidences.

`predictor`: one described model. `conditioned`: the same, given a person's labelled keypoints. `joint`: several models
and turned pictures as one. `size_routing`: one of
several models for each person, by box size. `detector`: person boxes of a picture.
"""
