"""The tests. They are a package, because a library that we use installs another package of this name."""
