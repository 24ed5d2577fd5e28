"""The stages of a run: the teacher pass, the training, the evaluation."""
