"""`annotate extend`: completes the keypoints of an annotation file.

`run` is the entry; `plan` orders people into chunks, `journal` records finished ones, `predictions` holds the
predictions, `complete` makes keypoints of them by an `acceptance` rule or a guarantee (`risk_control`), `executor` runs
chunks in threads or on a Ray cluster, `dry_run` forecasts and `report` counts what was done.
"""
