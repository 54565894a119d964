"""Tests that the SQL query and `in_force` of the domain choose the same policy version."""

from datetime import timedelta

from domain.policies import Category, in_force
from records import Records
from tests.sample_data import NOON, a_purchase, store_seller_and_purchases


def test_the_query_finds_the_policy_version_in_force_at_the_purchase(records: Records) -> None:
    """For each version there are purchases and renewals at its start, one microsecond before it, and one microsecond after it."""
    starts = [NOON + timedelta(days=days) for days in (-30, -10, -10, 5)]
    instants = [start + timedelta(microseconds=microseconds) for start in starts for microseconds in (-1, 0, 1)]
    purchases = [a_purchase(purchased_at=start) for start in instants]
    renewals = [
        a_purchase(purchased_at=NOON - timedelta(days=900), charged_at=start, renewal=True) for start in instants
    ]
    store_seller_and_purchases(records, *purchases, *renewals)
    with records.work() as work:
        for start in starts:
            work.sellers.new_policy("aurora", Category.NO_RESTRICTIONS, in_force_from=start)
        policies = work.sellers.policies("aurora")
        inputs_by_id = work.decision_inputs.load([*purchases, *renewals])
    for purchase in (*purchases, *renewals):
        assert inputs_by_id[purchase.id].policy == in_force(policies, purchase.decisive_at)
    assert len({inputs.policy.version for inputs in inputs_by_id.values() if inputs.policy}) == 4
