"""The run directory: its files as typed records, and how rows are written and read."""
