"""The cost of tokens: what a run has spent, and the spending limit."""
