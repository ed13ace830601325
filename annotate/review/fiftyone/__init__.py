"""Review in FiftyOne: a dataset of crops with proposals to accept, reject or move, and back into the file."""
