"""Fixtures of tests/integration that the security tests use."""

from tests.integration.conftest import context, desk, site, web_server

__all__ = ["context", "desk", "site", "web_server"]
