"""The project's built-in model: how its training data is composed, how it is trained and measured."""
