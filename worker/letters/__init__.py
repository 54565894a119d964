"""Letters to customers: `copy.py` has what they say, `write.py` writes one, `post.py` sends it."""

from worker.letters.post import (
    MaildirPost,
    NotSentError,
    Post,
    PostError,
    RefusedLetterError,
    SmtpPost,
    UnclearError,
    post_of,
)
from worker.letters.write import timely, write

__all__ = [
    "MaildirPost",
    "NotSentError",
    "Post",
    "PostError",
    "RefusedLetterError",
    "SmtpPost",
    "UnclearError",
    "post_of",
    "timely",
    "write",
]
