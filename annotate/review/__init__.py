"""Review of proposals: reviewers' decisions, their order, and their way into the points.

`priority` orders people by expected correction gain, `decisions` records, `apply` turns the last decision of each
keypoint into the point, `cvat` and `label_studio` go to these tools and back (`returned` compares), `fiftyone` is the
review in FiftyOne.
"""
