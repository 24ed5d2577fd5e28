"""From logits to answers and scores, one token at a time."""
