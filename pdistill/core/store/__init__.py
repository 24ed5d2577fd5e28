"""The run directory: what stands in it, as typed records, and how rows get there and back."""
