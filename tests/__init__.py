"""The tests. A package of its own, because a library of ours installs another one of this name."""
