"""A student on its way out: written as a directory, loaded as its users load it, served over HTTP."""
