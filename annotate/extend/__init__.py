"""`annotate extend`: completes the keypoints of an annotation file.

`run` leads; `plan` orders people into chunks and predicts them, `journal` records finished ones, `predictions` holds
them, `complete` turns them into keypoints by an `acceptance` rule or with a guarantee (`risk_control`), `executor` runs
chunks in threads or on a Ray cluster, `dry_run` forecasts and `report` counts what was done.
"""
