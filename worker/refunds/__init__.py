"""Sends refunds to the payment providers, and decides what the providers' results change."""
