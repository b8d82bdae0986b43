"""Whether lists and segments are read by profile or by group: the choice with the smaller share of its rate limit."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kustomer_klaviyo.card.memberships import RESERVE, Budget
from kustomer_klaviyo.klaviyo.reader import MAX_PROFILES_PER_REQUEST

PROFILE_LIMIT, GROUP_LIMIT = 40, 500
"""Requests a minute by profile and by group."""


def budget(groups: float, *, by_profile: int = PROFILE_LIMIT, by_group: int = GROUP_LIMIT) -> Budget:
    return Budget(by_profile, PROFILE_LIMIT, by_group, GROUP_LIMIT, groups)


@pytest.mark.parametrize(("groups", "profiles"), [(12, 1), (120, 10), (124, 10), (499, 40)])
def test_groups_are_read_if_that_uses_the_smaller_share_of_its_limit(groups: int, profiles: int) -> None:
    assert budget(groups).prefers_groups(profiles)


@pytest.mark.parametrize(("groups", "profiles"), [(13, 1), (125, 10), (500, 40)])
def test_profiles_are_read_if_that_uses_no_larger_share(groups: int, profiles: int) -> None:
    assert not budget(groups).prefers_groups(profiles)


def test_groups_are_read_if_the_profile_limit_has_too_few_slots() -> None:
    assert not budget(200, by_profile=3).prefers_groups(3)
    assert budget(200, by_profile=3).prefers_groups(4)


def test_groups_are_not_read_if_the_group_limit_has_too_few_slots() -> None:
    assert budget(5, by_group=5).prefers_groups(50)
    assert not budget(5, by_group=4).prefers_groups(50)


def test_groups_are_not_read_if_their_number_is_unknown() -> None:
    assert not budget(math.inf, by_profile=0).prefers_groups(50)


def test_an_account_without_groups_needs_no_request_by_group() -> None:
    assert budget(0, by_group=0).prefers_groups(1)


@given(
    st.just(math.inf) | st.integers(0, 1000),
    st.integers(0, PROFILE_LIMIT),
    st.integers(0, GROUP_LIMIT),
    st.integers(1, 50),
)
def test_groups_are_read_only_if_there_are_slots_for_all(
    groups: float, by_profile: int, by_group: int, profiles: int
) -> None:
    if budget(groups, by_profile=by_profile, by_group=by_group).prefers_groups(profiles):
        assert groups <= by_group


def test_prefetches_by_group_fill_one_request() -> None:
    assert budget(300).prefetch_slots() == MAX_PROFILES_PER_REQUEST
    assert budget(301).prefetch_slots() < MAX_PROFILES_PER_REQUEST


@pytest.mark.parametrize(("by_profile", "slots"), [(40, 24), (30, 14), (17, 1), (16, 0), (0, 0)])
def test_prefetches_by_profile_leave_the_reserve_for_opened_cards(by_profile: int, slots: int) -> None:
    assert budget(math.inf, by_profile=by_profile).prefetch_slots() == slots


@given(st.just(math.inf) | st.integers(0, 1000), st.integers(0, PROFILE_LIMIT), st.integers(0, GROUP_LIMIT))
def test_no_prefetch_uses_the_reserve(groups: float, by_profile: int, by_group: int) -> None:
    slots = budget(groups, by_profile=by_profile, by_group=by_group).prefetch_slots()
    if slots:
        fits_by_group = by_group - groups >= RESERVE * GROUP_LIMIT
        assert fits_by_group or by_profile - slots >= RESERVE * PROFILE_LIMIT


@pytest.mark.parametrize("groups", [1, 4, 25, 100])
def test_repeated_prefetches_by_group_stay_within_their_share_of_a_minute(groups: int) -> None:
    prefetches_per_minute = 60 / budget(groups).prefetch_interval()
    assert prefetches_per_minute * groups <= (1 - RESERVE) * GROUP_LIMIT + 0.001


@pytest.mark.parametrize("groups", [math.inf, 0, 10_000])
def test_prefetches_by_profile_need_no_interval(groups: float) -> None:
    assert budget(groups).prefetch_interval() == 0


def test_prefetches_do_not_switch_to_profiles_while_the_group_limit_is_low() -> None:
    assert budget(25, by_group=200).prefetch_slots() == 0


@pytest.mark.parametrize(("profiles", "slots"), [(2, 48), (50, 0), (60, 0)])
def test_a_request_by_group_has_spare_slots_for_prefetches(profiles: int, slots: int) -> None:
    assert budget(20).spare_slots(profiles) == slots


def test_requests_by_profile_have_no_spare_slots() -> None:
    assert budget(25).spare_slots(1) == 0
