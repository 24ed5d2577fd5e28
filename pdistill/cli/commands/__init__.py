"""The commands, one file each; those that share most of their code share a file."""
