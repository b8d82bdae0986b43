"""Writing one profile to the simulated Klaviyo: whom it knows under a former address, and what it refuses."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from kustomer_klaviyo.connections.options import ConnectionOptions
from kustomer_klaviyo.delivery.profile_writer import (
    ADDRESS_TAKEN,
    MERGED,
    NOT_FOUND,
    NUMBER_TAKEN,
    ProfileWriter,
    Written,
)
from kustomer_klaviyo.delivery.sender import Sender
from kustomer_klaviyo.klaviyo.client import KlaviyoClient
from kustomer_klaviyo.klaviyo.profile_request import PHONE_PROPERTY, ProfileCall
from kustomer_klaviyo.outcomes import Accepted, Refused
from kustomer_klaviyo.sandbox.klaviyo import DEFAULT_KEY, KlaviyoOptions, create_app
from kustomer_klaviyo.sandbox.serving import serving

ADA, BO, NEW = "ada@lantern.example", "bo@lantern.example", "ada@marigold.example"
PHONE = "+447911123456"


class Desk:
    """Writes profiles, and looks at what Klaviyo holds then."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.session = session

    async def write(self, call: ProfileCall, profile_id: str | None = None, **options: Any) -> Written:
        sender = Sender([KlaviyoClient(self.session, base_url=self.url, key=DEFAULT_KEY)])
        return await ProfileWriter(sender, ConnectionOptions(**options)).write(call, profile_id)

    async def held(self) -> dict[str | None, dict[str, Any]]:
        async with self.session.get(f"{self.url}/sandbox/profiles") as response:
            return {one["email"]: one for one in await response.json()}

    async def id_of(self, call: ProfileCall) -> str:
        """Write a profile and return its id."""
        written = await self.write(call)
        assert isinstance(written.outcome, Accepted)
        assert written.profile_id is not None
        return written.profile_id


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with (
        serving(create_app(KlaviyoOptions(rate_limits=False, job_seconds=0))) as url,
        aiohttp.ClientSession() as session,
    ):
        yield Desk(url, session)


async def test_a_profile_is_made_and_changed_under_one_id(desk: Desk) -> None:
    made = await desk.id_of(ProfileCall({"first_name": "Ada", "title": "Dr"}, ADA, PHONE))
    written = await desk.write(ProfileCall({"last_name": "Byron", "title": None}, ADA), made)
    assert written.profile_id == made
    held = (await desk.held())[ADA]
    assert (held["first_name"], held["last_name"], held["title"], held["phone_number"]) == ("Ada", "Byron", None, PHONE)


@pytest.mark.parametrize("is_remembered", [True, False])
async def test_a_new_address_goes_to_the_profile_of_the_former_one(desk: Desk, is_remembered: bool) -> None:  # noqa: FBT001
    made = await desk.id_of(ProfileCall({"first_name": "Ada"}, ADA))
    written = await desk.write(ProfileCall({}, NEW, former_email=ADA), made if is_remembered else None)
    assert written.profile_id == made
    assert [(email, one["first_name"]) for email, one in (await desk.held()).items()] == [(NEW, "Ada")]


async def test_an_address_takes_the_place_of_a_number_by_which_the_person_was_known(desk: Desk) -> None:
    made = await desk.id_of(ProfileCall({"first_name": "Ada"}, None, PHONE))
    written = await desk.write(ProfileCall({}, ADA, PHONE, former_phone=PHONE))
    assert written.profile_id == made
    assert list(await desk.held()) == [ADA]


@pytest.mark.parametrize("merges", [True, False])
async def test_an_address_that_another_profile_has_is_written_there(desk: Desk, merges: bool) -> None:  # noqa: FBT001
    made = await desk.id_of(ProfileCall({"title": "Dr"}, ADA))
    other = await desk.id_of(ProfileCall({}, NEW))
    call = ProfileCall({"first_name": "Ada"}, NEW, former_email=ADA)
    written = await desk.write(call, made, merge_profiles=merges)
    assert (written.profile_id, written.notes) == (other, [ADDRESS_TAKEN, *([MERGED] if merges else [])])
    held = await until(desk, 1 if merges else 2)
    assert (held[NEW]["first_name"], held[NEW]["title"]) == ("Ada", "Dr" if merges else None)


async def until(desk: Desk, number: int) -> dict[str | None, dict[str, Any]]:
    """Merging takes its time."""
    while len(held := await desk.held()) != number:
        pass
    return held


@pytest.mark.parametrize("merges", [True, False])
async def test_a_number_that_another_profile_has_is_kept_as_a_property(desk: Desk, merges: bool) -> None:  # noqa: FBT001
    await desk.write(ProfileCall({}, ADA))
    await desk.write(ProfileCall({}, BO, PHONE))
    written = await desk.write(ProfileCall({"first_name": "Ada"}, ADA, PHONE), merge_profiles=merges)
    assert isinstance(written.outcome, Accepted)
    assert written.notes == [NUMBER_TAKEN, *([MERGED] if merges else [])]
    held = await until(desk, 1 if merges else 2)
    assert held[ADA]["properties"][PHONE_PROPERTY.removeprefix("properties.")] == PHONE
    assert held[ADA]["phone_number"] == (PHONE if merges else None)


async def test_a_new_address_with_a_number_that_another_profile_has_still_goes_through(desk: Desk) -> None:
    made = await desk.id_of(ProfileCall({}, ADA))
    await desk.write(ProfileCall({}, BO, PHONE))
    written = await desk.write(ProfileCall({}, NEW, PHONE, former_email=ADA), made)
    assert (written.profile_id, written.notes) == (made, [NUMBER_TAKEN])
    assert set(await desk.held()) == {NEW, BO}


async def test_whose_number_it_is_is_merged_at_a_new_address_too_where_the_admin_opted_in(desk: Desk) -> None:
    made = await desk.id_of(ProfileCall({}, ADA))
    await desk.write(ProfileCall({"title": "Dr"}, BO, PHONE))
    written = await desk.write(ProfileCall({}, NEW, PHONE, former_email=ADA), made, merge_profiles=True)
    assert (written.profile_id, written.notes) == (made, [NUMBER_TAKEN, MERGED])
    assert (await until(desk, 1))[NEW]["title"] == "Dr"


async def test_a_former_address_that_klaviyo_does_not_know_is_no_hindrance(desk: Desk) -> None:
    written = await desk.write(ProfileCall({}, NEW, former_email=ADA))
    assert (written.notes, list(await desk.held())) == ([NOT_FOUND], [NEW])


async def test_a_profile_that_is_no_longer_there_is_made_anew(desk: Desk) -> None:
    written = await desk.write(ProfileCall({}, NEW, former_email=ADA), "01NOBODY")
    assert written.profile_id not in (None, "01NOBODY")
    assert "no longer there" in written.notes[0]


async def test_what_klaviyo_refuses_comes_back_in_its_words(desk: Desk) -> None:
    written = await desk.write(ProfileCall({}, 'quoted"name@lantern.example'))
    assert isinstance(written.outcome, Refused)
    assert "email" in written.outcome.detail.lower()


async def test_with_update_only_strangers_stay_strangers(desk: Desk) -> None:
    stranger = await desk.write(ProfileCall({}, ADA), update_only=True)
    assert (stranger.is_unknown, await desk.held()) == (True, {})
    await desk.write(ProfileCall({}, ADA))
    known = await desk.write(ProfileCall({"title": "Dr"}, ADA), update_only=True)
    assert not known.is_unknown
    renamed = await desk.write(ProfileCall({}, NEW, former_email=ADA), update_only=True)
    assert [(email, one["title"]) for email, one in (await desk.held()).items()] == [(NEW, "Dr")]
    assert renamed.profile_id == known.profile_id


async def test_a_person_is_erased_by_the_one_identifier_klaviyo_knows(desk: Desk) -> None:
    await desk.write(ProfileCall({}, ADA, PHONE))
    await desk.write(ProfileCall(email=ADA, erase=True))
    await until(desk, 0)
