"""Answers by vLLM, in this process."""
