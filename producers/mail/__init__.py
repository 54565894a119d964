"""Requests by e-mail: `reader.py` reads a mail's bytes, `clerk.py` makes cases, the others are ways for mails to come."""
