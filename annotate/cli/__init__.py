"""The `annotate` command: `main` has extend, check and show, the others a group of commands each."""
