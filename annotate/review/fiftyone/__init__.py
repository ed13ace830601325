"""Review in FiftyOne: a slice of an extended file as a dataset, whose tags become decisions.

`slice` chooses the people, `crops` cuts them out, `dataset` makes them a FiftyOne dataset in a database of the file's
own (`database`), `server` shows it in the App, `pull` takes the tags back.
"""
