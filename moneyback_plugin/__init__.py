"""The public modules for packages that add a payment provider. CONTRIBUTING.md explains how to write such a package.

- ``moneyback_plugin.spec``: what a provider consists of, and the settings of an account
- ``moneyback_plugin.adapter``: the interface of an adapter, its results, and tools for HTTP calls
- ``moneyback_plugin.webhooks``: the interface of a webhook parser, and its results
- ``moneyback_plugin.testing``: the contract that every adapter keeps, as tests
"""
