"""Processes the webhook events that providers sent."""
