"""Predicted poses: `PoseBatch`, and its conversion to COCO results, supervision, transformers and pandas.

`batch` is what `load_predictor()` returns; `conversions` brings it to other libraries' types and back; `data_frame` is
the table of it, and of a completed file.
"""
