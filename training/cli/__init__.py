"""Commands of training, fitting and evaluation; `main` has train and average, the others one each."""
