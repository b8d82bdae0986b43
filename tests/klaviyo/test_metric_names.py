"""Which metric names are proposed: those that an account has already."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kustomer_klaviyo.klaviyo.metric_names import USUAL, Proposal, propose, shared_names

CREATE, DONE = "Kustomer Conversation Create", "Kustomer Conversation Done"
RATED = "Kustomer Conversation CSAT Submitted"
CLOSE = "Kustomer Conversation Close"


def proposed(*names: str, **chosen: str) -> dict[str, Proposal]:
    return {one.option: one for one in propose(names, chosen)}


def test_a_new_account_is_proposed_the_usual_names() -> None:
    found = proposed("Placed Order", "Received Email")
    assert {option: one.name for option, one in found.items()} == {
        "created_metric": CREATE,
        "closed_metric": DONE,
        "satisfaction_metric": RATED,
    }
    assert not any(one.exists for one in found.values())


@pytest.mark.parametrize("name", [DONE, CLOSE, "Kustomer Conversation Closed"])
def test_the_name_that_flows_wait_for_already_is_proposed(name: str) -> None:
    found = proposed(name)["closed_metric"]
    assert (found.name, found.exists) == (name, True)


def test_where_an_account_has_several_the_usual_one_is_proposed_and_the_others_can_be_chosen() -> None:
    found = proposed(CLOSE, DONE)["closed_metric"]
    assert (found.name, found.exists) == (DONE, True)
    assert found.choices == (DONE, CLOSE)


def test_what_was_chosen_stays_whatever_the_account_has() -> None:
    found = proposed(DONE, closed_metric="Support Ended")["closed_metric"]
    assert (found.name, found.exists) == ("Support Ended", False)
    assert found.choices == ("Support Ended", DONE)


def test_every_other_metric_of_kustomers_can_be_chosen_and_nobody_elses() -> None:
    found = proposed("Kustomer Talk Over", "Placed Order", CREATE)
    assert found["closed_metric"].choices == (DONE, CREATE, "Kustomer Talk Over")


@given(st.lists(st.sampled_from([*(name for usual in USUAL.values() for name in usual), "Kustomer X", "Placed Order"])))
def test_what_is_proposed_can_be_chosen_and_is_said_to_exist_only_if_it_does(names: list[str]) -> None:
    for one in propose(names, {}):
        assert one.name in one.choices
        assert len(set(one.choices)) == len(one.choices)
        assert one.exists == (one.name in names)


def test_names_that_several_of_our_metrics_have_are_told() -> None:
    assert shared_names({}) == []
    assert shared_names({"created_metric": "Support", "closed_metric": " support"}) == ["support"]
    assert shared_names({"created_metric": "Kustomer Conversation Done"}) == ["Kustomer Conversation Done"]
    assert shared_names(dict.fromkeys(USUAL, "One")) == ["One"]
