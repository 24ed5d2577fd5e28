"""The core: what every backend, task and command is built on; it runs no model and prints nothing."""
