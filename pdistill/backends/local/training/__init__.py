"""LoRA training: batches split into parts, one optimizer step, saved states."""
