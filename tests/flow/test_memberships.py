"""Whether lists and segments are asked for by person or by group: whichever takes less of its limit."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kustomer_klaviyo.card.memberships import KEPT, Budget
from kustomer_klaviyo.klaviyo.reader import MOST_ASKED

PERSON, GROUP = 40, 500
"""What a minute has for us of each way."""


def budget(groups: float, *, by_person: int = PERSON, by_group: int = GROUP) -> Budget:
    return Budget(by_person, PERSON, by_group, GROUP, groups)


@pytest.mark.parametrize(("groups", "people"), [(12, 1), (120, 10), (124, 10), (499, 40)])
def test_groups_are_asked_when_that_takes_the_smaller_part_of_its_limit(groups: int, people: int) -> None:
    assert budget(groups).prefers_groups(people)


@pytest.mark.parametrize(("groups", "people"), [(13, 1), (125, 10), (500, 40)])
def test_each_person_is_asked_about_when_that_takes_no_more(groups: int, people: int) -> None:
    assert not budget(groups).prefers_groups(people)


def test_people_for_whom_their_own_limit_has_no_room_are_asked_about_by_group() -> None:
    assert not budget(200, by_person=3).prefers_groups(3)
    assert budget(200, by_person=3).prefers_groups(4)


def test_groups_for_which_their_limit_has_no_room_are_not_asked() -> None:
    assert budget(5, by_group=5).prefers_groups(50)
    assert not budget(5, by_group=4).prefers_groups(50)


def test_groups_that_are_not_all_known_are_not_asked() -> None:
    assert not budget(math.inf, by_person=0).prefers_groups(50)


def test_an_account_without_groups_costs_nothing_by_group() -> None:
    assert budget(0, by_group=0).prefers_groups(1)


@given(
    st.just(math.inf) | st.integers(0, 1000), st.integers(0, PERSON), st.integers(0, GROUP), st.integers(1, 50)
)  # fmt: skip
def test_groups_are_asked_only_if_all_of_them_fit(groups: float, person: int, group: int, people: int) -> None:
    if budget(groups, by_person=person, by_group=group).prefers_groups(people):
        assert groups <= group


def test_cards_are_fetched_ahead_by_group_as_many_as_one_request_tells_of() -> None:
    assert budget(300).ahead() == MOST_ASKED
    assert budget(301).ahead() < MOST_ASKED


@pytest.mark.parametrize(("by_person", "people"), [(40, 24), (30, 14), (17, 1), (16, 0), (0, 0)])
def test_of_what_people_may_be_asked_about_a_part_is_kept_for_agents_who_look(by_person: int, people: int) -> None:
    assert budget(math.inf, by_person=by_person).ahead() == people


@given(st.just(math.inf) | st.integers(0, 1000), st.integers(0, PERSON), st.integers(0, GROUP))
def test_what_is_fetched_ahead_leaves_agents_their_part(groups: float, person: int, group: int) -> None:
    people = budget(groups, by_person=person, by_group=group).ahead()
    if people:
        by_group = group - groups >= KEPT * GROUP
        assert by_group or person - people >= KEPT * PERSON


@pytest.mark.parametrize("groups", [1, 4, 25, 100])
def test_asking_all_groups_ahead_again_and_again_takes_no_more_than_their_part_of_a_minute(groups: int) -> None:
    times_a_minute = 60 / budget(groups).pause()
    assert times_a_minute * groups <= (1 - KEPT) * GROUP + 0.001


@pytest.mark.parametrize("groups", [math.inf, 0, 10_000])
def test_where_groups_are_not_asked_ahead_nobody_waits_for_them(groups: float) -> None:
    assert budget(groups).pause() == 0


def test_where_people_are_asked_about_by_group_few_at_a_time_are_not_fetched_ahead_to_save_the_limit() -> None:
    assert budget(25, by_group=200).ahead() == 0


@pytest.mark.parametrize(("people", "more"), [(2, 48), (50, 0), (60, 0)])
def test_whoever_fits_into_a_request_about_a_group_comes_along(people: int, more: int) -> None:
    assert budget(20).beside(people) == more


def test_nobody_comes_along_where_each_person_is_asked_about() -> None:
    assert budget(25).beside(1) == 0
