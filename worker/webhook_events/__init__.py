"""Webhook events: what a worker does with the events that providers sent."""
