"""The HTTP API for sellers: a module for each resource, and the modules that the resources share."""
