"""The interface of a webhook parser, and the results that it returns."""

from domain.webhook_events import InvalidSignature, Subject, UnreadableWebhook, WebhookEvent, WebhookParser

__all__ = ["InvalidSignature", "Subject", "UnreadableWebhook", "WebhookEvent", "WebhookParser"]
