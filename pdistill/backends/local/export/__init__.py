"""A student on its way out: written as a folder, loaded as its users load it, served over HTTP."""
