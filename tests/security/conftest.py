"""Fixtures of tests/integration that the security tests use."""

from tests.integration.conftest import context, site, web_server

__all__ = ["context", "site", "web_server"]
