"""Escaping of untrusted text for the terminal: see pdistill.core.escape."""

from pdistill.core.escape import json_text, lines, one_line

__all__ = ["json_text", "lines", "one_line"]
