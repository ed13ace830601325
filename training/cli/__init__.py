"""Commands of training, fitting and evaluation; `main` has those that train, `fit` and `evaluate` the others."""
