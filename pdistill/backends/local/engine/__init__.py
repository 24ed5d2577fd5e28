"""Forward passes for inference: many rows behind one shared prefix, with a key-value cache."""
