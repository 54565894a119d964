"""What all pages have in common."""

SEEN = ["GET", "HEAD"]
