"""Certificates of an extended file's added points, from a random sample that a reviewer inspects.

`confidence_sequence`: bounds of the number of errors. `sample`: the drawn order, as a review queue. `certificate`:
answers as a statement with its bounds. `recalibration`: confidences refitted from the answers. `safest_points`: the
accepted points that then stay. `self_check`: the file's own labelled keypoints, masked and predicted again.
"""
