"""Statistics of evaluations: intervals and tests over clips, distances of sets of features."""
