"""Refund requests by e-mail: `imap.py`, `lmtp.py` and `maildir.py` receive mail, and `ingest.py` creates cases from mail."""
