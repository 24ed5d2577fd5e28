"""Models on this machine: finding and loading them, their adapters, and what ends their answers."""
