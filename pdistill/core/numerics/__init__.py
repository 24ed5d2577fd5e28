"""Pure functions: statistics, near-duplicates, the split and the training schedule."""
