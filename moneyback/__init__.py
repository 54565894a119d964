"""The public modules for packages that add a payment provider. CONTRIBUTING.md explains how to write such a package.

- ``moneyback.plugins``: what a provider consists of, and the settings of an account
- ``moneyback.providers``: the interface of an adapter, its results, and tools for HTTP calls
- ``moneyback.webhooks``: the interface of a webhook parser, and its results
- ``moneyback.testing``: the contract that every adapter keeps, as tests
"""
