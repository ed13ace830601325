"""Evaluation by the data sets' protocols: COCO AP, MPII PCKh, Halpe, PCK, error types, galleries and tables."""
