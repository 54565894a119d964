"""`celery -A tests.chaos.app`: the product's own application, with the points, and the shortened constants."""

import worker.tasks  # noqa: F401  # what the points are in
from tests.chaos.launch import prepare
from worker.app import app

__all__ = ["app"]

prepare()
