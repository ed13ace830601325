"""From a data file to labelled crops: people, labels in the union's definitions, hold-out splits, the crop cache."""
