"""Review in FiftyOne: a slice of an extended file is shown in its App, and the tags given there become decisions.

`slice` chooses the people, `pictures` cuts them out, `dataset` makes them a FiftyOne dataset in a database of the
file's own (`database`), `session` shows it, `pull` takes the tags back.
"""
