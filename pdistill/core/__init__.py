"""The core: the stages of a run, its directory, and the contract with plugins; see the architecture page for its rooms."""

from pdistill.core import moved

__all__ = ["moved"]
