"""Review of proposals: reviewers' decisions, their order, and their way into the points.

`priority` orders people by expected correction gain, `decisions` records, `apply` turns the last decision of each
keypoint into the point, `cvat` goes to CVAT and back, `fiftyone` is the review in FiftyOne.
"""
