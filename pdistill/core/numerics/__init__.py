"""Pure functions: statistics, near-duplicates, the split, the training schedule."""
