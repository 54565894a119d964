"""Makes failed assertions of the contract readable."""

import pytest

pytest.register_assert_rewrite("moneyback_plugin.testing")
