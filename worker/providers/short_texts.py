"""Collects the texts of an unreadable webhook, so that a webhook about one of our payments is recognised."""

from worker.providers.identifiers import MAX_LENGTH


def short_texts(document: object) -> frozenset[str]:
    """Return every text in a JSON value that is short enough for an id."""
    texts: set[str] = set()
    rest = [document]
    while rest:
        match rest.pop():
            case str() as text if 0 < len(text) <= MAX_LENGTH:
                texts.add(text)
            case list() as items:
                rest += items
            case dict() as fields:
                rest += fields.values()
    return frozenset(texts)
