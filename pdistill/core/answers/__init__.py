"""How answers are collected, reused and read."""
