"""Answers: how they are collected, reused and parsed."""
