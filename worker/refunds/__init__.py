"""Refunds at the payment providers: what a provider's result changes, and when the provider is asked again."""
