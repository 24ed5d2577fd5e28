"""Forward passes for inference: many rows after one shared prefix, with a key-value cache."""
