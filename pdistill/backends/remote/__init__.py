"""Shared by backends that use a network service: bounded concurrency, retries and rate-limited warnings."""
