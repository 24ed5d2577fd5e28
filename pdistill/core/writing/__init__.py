"""Queries that a model writes for a prompt: the aims, the requests, the parsing of answers, and the resumable job."""
