"""Faster versions of single layers and operators; none of them knows a whole run."""
