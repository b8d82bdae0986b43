"""Proposed metric names: the ones that an account already has."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kustomer_klaviyo.klaviyo.metric_names import KNOWN_NAMES, MetricNameProposal, propose_names, shared_metric_names

CREATE, DONE = "Kustomer Conversation Create", "Kustomer Conversation Done"
RATED = "Kustomer Conversation CSAT Submitted"
CLOSE = "Kustomer Conversation Close"


def proposals(*names: str, **configured: str) -> dict[str, MetricNameProposal]:
    return {proposal.option: proposal for proposal in propose_names(names, configured)}


def test_a_new_account_gets_the_default_names() -> None:
    proposal = proposals("Placed Order", "Received Email")
    assert {option: proposed.name for option, proposed in proposal.items()} == {
        "created_metric": CREATE,
        "done_metric": DONE,
        "csat_metric": RATED,
    }
    assert not any(proposed.exists for proposed in proposal.values())


@pytest.mark.parametrize("name", [DONE, CLOSE, "Kustomer Conversation Closed"])
def test_an_existing_name_is_proposed(name: str) -> None:
    proposal = proposals(name)["done_metric"]
    assert (proposal.name, proposal.exists) == (name, True)


def test_of_several_existing_names_the_default_is_proposed_and_the_others_can_be_chosen() -> None:
    proposal = proposals(CLOSE, DONE)["done_metric"]
    assert (proposal.name, proposal.exists) == (DONE, True)
    assert proposal.choices == (DONE, CLOSE)


def test_a_configured_name_is_kept() -> None:
    proposal = proposals(DONE, done_metric="Support Ended")["done_metric"]
    assert (proposal.name, proposal.exists) == ("Support Ended", False)
    assert proposal.choices == ("Support Ended", DONE)


def test_all_kustomer_metrics_can_be_chosen_and_no_others() -> None:
    proposal = proposals("Kustomer Talk Over", "Placed Order", CREATE)
    assert proposal["done_metric"].choices == (DONE, CREATE, "Kustomer Talk Over")


@given(
    st.lists(
        st.sampled_from([*(name for known in KNOWN_NAMES.values() for name in known), "Kustomer X", "Placed Order"])
    )
)
def test_a_proposed_name_can_be_chosen_and_its_existence_is_correct(names: list[str]) -> None:
    for proposal in propose_names(names, {}):
        assert proposal.name in proposal.choices
        assert len(set(proposal.choices)) == len(proposal.choices)
        assert proposal.exists == (proposal.name in names)


def test_names_shared_by_several_metrics_are_found() -> None:
    assert shared_metric_names({}) == []
    assert shared_metric_names({"created_metric": "Support", "done_metric": " support"}) == ["support"]
    assert shared_metric_names({"created_metric": "Kustomer Conversation Done"}) == ["Kustomer Conversation Done"]
    assert shared_metric_names(dict.fromkeys(KNOWN_NAMES, "One")) == ["One"]
