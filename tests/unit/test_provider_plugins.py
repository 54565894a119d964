"""A provider comes from an installed package, by an entry point. A package that cannot be used is named in a sentence."""

import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from config import connected_providers, provider_accounts
from config.connected_providers import ProviderSettings, account_class, connected_accounts
from config.extras import EXTRAS
from config.provider_accounts import OWN, PROVIDERS
from config.provider_plugins import GROUP, ProviderRegistry
from domain.errors import RefusedError
from worker.providers import capabilities

ROOT = Path(__file__).parents[2]
SPEC = """
from moneyback_plugin.spec import Account, ProviderSpec

class SquareAccount(Account):
    access_token: str

SQUARE = ProviderSpec(
    package="{module}",
    account=SquareAccount,
    test_setting="access_token",
    test_values=("test_",),
    webhook_setting="access_token",
)
"""
CODES = """
from datetime import timedelta
from moneyback_plugin.adapter import Capabilities

CAPABILITIES = Capabilities(idempotency_key_ttl=timedelta(days=45))
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Yield a function that installs a package with entry points. Each test has its own registry of providers."""
    before = {*sys.modules}
    monkeypatch.syspath_prepend(tmp_path)
    registry = ProviderRegistry(PROVIDERS._own)
    monkeypatch.setattr(provider_accounts, "PROVIDERS", registry)
    monkeypatch.setattr(connected_providers, "PROVIDERS", registry)
    monkeypatch.setattr("worker.providers.PROVIDERS", registry)
    account_class.cache_clear()

    def install_package(name: str, code: str = SPEC, **entries: str) -> None:
        module = name.replace("-", "_")
        (tmp_path / module).mkdir()
        (tmp_path / module / "__init__.py").write_text(code.replace("{module}", module))
        (tmp_path / module / "codes.py").write_text(CODES)
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = [f"{provider.replace('_', '-')} = {module}:{value}" for provider, value in entries.items()]
        (info / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines]))

    yield install_package
    account_class.cache_clear()
    for module in {*sys.modules} - before:
        del sys.modules[module]


def connect(names: str) -> ProviderSettings:
    return ProviderSettings.model_validate({"providers": names})


def test_our_own_providers_are_the_entry_points_of_our_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {EntryPoint(name, value, GROUP) for name, value in project["entry-points"][GROUP].items()}
    assert declared == {*PROVIDERS._own}
    assert [entry_point.name for entry_point in PROVIDERS._own] == [*OWN]
    assert {name: PROVIDERS[name] for name in OWN} == OWN


def test_an_installed_package_provides_a_provider(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("moneyback-square", square="SQUARE")
    monkeypatch.setenv("MONEYBACK_SQUARE_ACCESS_TOKEN", "test_1")
    monkeypatch.setenv("MONEYBACK_SQUARE_AURORA_ACCESS_TOKEN", "live_1")
    monkeypatch.setenv("MONEYBACK_SQUARE_AURORA_SELLERS", "aurora")
    accounts = connected_accounts(connect("square,square:aurora"))
    spec = provider_accounts.PROVIDERS["square"]
    assert {name: spec.is_test_account(account) for name, account in accounts.items()} == {
        "square": True,
        "square:aurora": False,
    }
    assert accounts["square:aurora"].sellers == {"aurora"}
    assert capabilities("square:aurora").idempotency_key_ttl.days == 45
    assert "square" not in EXTRAS, "the package itself names what it needs"


def test_a_package_is_imported_only_when_its_provider_is_used(install: Install) -> None:
    install("moneyback-broken", "raise RuntimeError('The SDK is missing.')", broken="PROVIDER")
    assert "broken" in provider_accounts.PROVIDERS
    assert "broken" in [*provider_accounts.PROVIDERS]
    assert connect("stripe").providers == ("stripe",)


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("raise RuntimeError('The SDK is missing.')", "RuntimeError: The SDK is missing."),
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("", "AttributeError: "),
        ("PROVIDER = 'square'", "which is no ProviderSpec"),
        ("PROVIDER = dict", "which is no ProviderSpec"),
    ],
)
def test_a_package_that_cannot_be_used_is_named(install: Install, code: str, sentence: str) -> None:
    install("moneyback-broken", code, broken="PROVIDER")
    with pytest.raises(RefusedError, match=re.escape(sentence)) as refused:
        connect("broken")
    assert "moneyback-broken" in str(refused.value)
    assert "Install another version of this package, or uninstall it." in str(refused.value)


def test_two_packages_with_one_provider_are_refused(install: Install) -> None:
    install("moneyback-square", square="SQUARE")
    install("square-for-moneyback", square="SQUARE")
    with pytest.raises(RefusedError, match="Two packages provide the payment provider square") as refused:
        connect("square")
    assert {"moneyback-square", "square-for-moneyback"} <= {*re.split(r"[\s.:]", str(refused.value))}


@pytest.mark.parametrize("name", OWN)
def test_no_package_may_take_the_name_of_one_of_our_providers(install: Install, name: str) -> None:
    install("moneyback-square", **{name: "SQUARE"})
    with pytest.raises(RefusedError, match=f"Two packages provide the payment provider {name}: moneyback and"):
        connect(name)


@pytest.mark.parametrize(
    "names",
    ["square-eu,square:eu", "square:eu,square-eu", "square-eu:a,square:eu-a", "stripe,square:eu-a-b,square-eu:a-b"],
)
def test_two_accounts_that_would_read_the_same_variable_are_refused(install: Install, names: str) -> None:
    install("moneyback-square", square="SQUARE", square_eu="SQUARE")
    with pytest.raises(ValueError, match="would both read MONEYBACK_SQUARE_EU_"):
        connect(names)


@pytest.mark.parametrize("names", ["square-eu,square", "square-eu:a,square:a", "square,square:eu,square:us"])
def test_accounts_with_their_own_variables_are_accepted(install: Install, names: str) -> None:
    install("moneyback-square", square="SQUARE", square_eu="SQUARE")
    assert connect(names).providers == tuple(names.split(","))
