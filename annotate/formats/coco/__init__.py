"""COCO keypoints json: reading, writing, dialects, results files, and any other format converted to it."""
