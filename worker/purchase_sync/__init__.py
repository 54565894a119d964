"""Imports purchases from the payments that a provider shows, so that sellers need not report them."""
