"""Refund requests by e-mail: `parser.py` reads mail, `ingest.py` creates cases from `imap.py`, `lmtp.py`, `maildir.py`."""
