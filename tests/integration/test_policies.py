"""The policy that counts: the statement that finds it says the same as the rule."""

from datetime import timedelta

from domain.policies import Category, in_force
from records import Records
from tests.sample_data import NOON, a_purchase, settle_in


def test_the_version_found_is_the_one_in_force_at_the_purchase(records: Records) -> None:
    """At each version's first instant, just before it and just after it, for purchases and for renewals."""
    starts = [NOON + timedelta(days=days) for days in (-30, -10, -10, 5)]
    moments = [at + timedelta(microseconds=shift) for at in starts for shift in (-1, 0, 1)]
    bought = [a_purchase(purchased_at=at) for at in moments]
    renewed = [a_purchase(purchased_at=NOON - timedelta(days=900), charged_at=at, renewal=True) for at in moments]
    settle_in(records, *bought, *renewed)
    with records.work() as work:
        for at in starts:
            work.sellers.new_policy("aurora", Category.NO_RESTRICTIONS, in_force_from=at)
        policies = work.sellers.policies("aurora")
        facts = work.decision_inputs.load([*bought, *renewed])
    for one in (*bought, *renewed):
        assert facts[one.id].policy == in_force(policies, one.decisive_at)
    assert len({fact.policy.version for fact in facts.values() if fact.policy}) == 4
