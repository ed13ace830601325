"""Packed training sets: shards of person crops with labels and teachers' peaks, read without pictures or teachers.

`samples`: one person as files of a tar. `packed`: the index, and stores from shards. `training.pack` writes them.
"""
