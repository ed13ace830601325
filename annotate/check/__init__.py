"""`annotate check`: implausible annotations, and a JSON Patch for those that can be mended.

`run` is the entry; `rules` and `box_rules` on the file alone, `left_right_model` with a model's predictions,
`mpii_json_vs_mat` for MPII's two files, `json_patch` writes and applies.
"""
