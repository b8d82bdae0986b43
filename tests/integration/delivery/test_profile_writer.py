"""Writing one profile to the Klaviyo sandbox: former contacts, conflicts and rejections."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from kustomer_klaviyo.connections.options import ConnectionOptions
from kustomer_klaviyo.delivery.profile_writer import ProfileWriter, WriteNote, WriteResult
from kustomer_klaviyo.klaviyo.key_ring import ApiKeyRing
from kustomer_klaviyo.klaviyo.klaviyo_client import KlaviyoClient
from kustomer_klaviyo.klaviyo.profile_request import PHONE_PROPERTY, ProfileRequest
from kustomer_klaviyo.outcomes import Accepted, Refused
from kustomer_klaviyo.reasons import DeliveryNote
from kustomer_klaviyo.sandbox.http_server import run_server
from kustomer_klaviyo.sandbox.klaviyo import DEFAULT_KEY, KlaviyoOptions, create_app

ADA, BO, NEW = "ada@lantern.example", "bo@lantern.example", "ada@marigold.example"
PHONE = "+447911123456"
EMAIL_CONFLICT = WriteNote(DeliveryNote.EMAIL_CONFLICT)
FORMER_CONTACT_UNKNOWN = WriteNote(DeliveryNote.FORMER_CONTACT_UNKNOWN)
MERGED = WriteNote(DeliveryNote.PROFILES_MERGED)
PHONE_KEPT_AS_PROPERTY = WriteNote(DeliveryNote.PHONE_KEPT_AS_PROPERTY)


class ProfileWrites:
    """Writes profiles, and looks at what Klaviyo holds then."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.session = session

    async def write(
        self, profile_request: ProfileRequest, profile_id: str | None = None, **options: Any
    ) -> WriteResult:
        keys = ApiKeyRing([KlaviyoClient(self.session, base_url=self.url, key=DEFAULT_KEY)])
        return await ProfileWriter(keys, ConnectionOptions(**options)).write(profile_request, profile_id)

    async def profiles(self) -> dict[str | None, dict[str, Any]]:
        async with self.session.get(f"{self.url}/sandbox/profiles") as response:
            return {one["email"]: one for one in await response.json()}

    async def id_of(self, profile_request: ProfileRequest) -> str:
        """Write a profile and return its id."""
        result = await self.write(profile_request)
        assert isinstance(result.outcome, Accepted)
        assert result.profile_id is not None
        return result.profile_id


@pytest.fixture
async def writes() -> AsyncIterator[ProfileWrites]:
    async with (
        run_server(create_app(KlaviyoOptions(rate_limits=False, job_seconds=0))) as url,
        aiohttp.ClientSession() as session,
    ):
        yield ProfileWrites(url, session)


async def test_a_profile_is_created_and_updated_under_one_id(writes: ProfileWrites) -> None:
    profile_id = await writes.id_of(ProfileRequest({"first_name": "Ada", "title": "Dr"}, ADA, PHONE))
    result = await writes.write(ProfileRequest({"last_name": "Byron", "title": None}, ADA), profile_id)
    assert result.profile_id == profile_id
    profiles = (await writes.profiles())[ADA]
    assert (profiles["first_name"], profiles["last_name"], profiles["title"], profiles["phone_number"]) == (
        "Ada",
        "Byron",
        None,
        PHONE,
    )


@pytest.mark.parametrize("is_remembered", [True, False])
async def test_a_new_address_replaces_the_former_one_in_the_same_profile(
    writes: ProfileWrites,
    is_remembered: bool,  # noqa: FBT001
) -> None:
    profile_id = await writes.id_of(ProfileRequest({"first_name": "Ada"}, ADA))
    result = await writes.write(ProfileRequest({}, NEW, former_email=ADA), profile_id if is_remembered else None)
    assert result.profile_id == profile_id
    assert [(email, one["first_name"]) for email, one in (await writes.profiles()).items()] == [(NEW, "Ada")]


async def test_an_address_replaces_a_phone_number_as_the_identifier(writes: ProfileWrites) -> None:
    profile_id = await writes.id_of(ProfileRequest({"first_name": "Ada"}, None, PHONE))
    result = await writes.write(ProfileRequest({}, ADA, PHONE, former_phone=PHONE))
    assert result.profile_id == profile_id
    assert list(await writes.profiles()) == [ADA]


@pytest.mark.parametrize("merges", [True, False])
async def test_an_address_of_another_profile_is_written_there(
    writes: ProfileWrites,
    merges: bool,  # noqa: FBT001
) -> None:
    profile_id = await writes.id_of(ProfileRequest({"title": "Dr"}, ADA))
    other_profile_id = await writes.id_of(ProfileRequest({}, NEW))
    profile_request = ProfileRequest({"first_name": "Ada"}, NEW, former_email=ADA)
    result = await writes.write(profile_request, profile_id, merge_profiles=merges)
    assert (result.profile_id, result.notes) == (other_profile_id, [EMAIL_CONFLICT, *([MERGED] if merges else [])])
    profiles = await wait_for_profiles(writes, 1 if merges else 2)
    assert (profiles[NEW]["first_name"], profiles[NEW]["title"]) == ("Ada", "Dr" if merges else None)


async def wait_for_profiles(writes: ProfileWrites, number: int) -> dict[str | None, dict[str, Any]]:
    """Wait until Klaviyo has ``number`` profiles, since merging is asynchronous."""
    while len(profiles := await writes.profiles()) != number:
        pass
    return profiles


@pytest.mark.parametrize("merges", [True, False])
async def test_a_phone_number_of_another_profile_is_kept_as_a_property(
    writes: ProfileWrites,
    merges: bool,  # noqa: FBT001
) -> None:
    await writes.write(ProfileRequest({}, ADA))
    await writes.write(ProfileRequest({}, BO, PHONE))
    result = await writes.write(ProfileRequest({"first_name": "Ada"}, ADA, PHONE), merge_profiles=merges)
    assert isinstance(result.outcome, Accepted)
    assert result.notes == [PHONE_KEPT_AS_PROPERTY, *([MERGED] if merges else [])]
    profiles = await wait_for_profiles(writes, 1 if merges else 2)
    assert profiles[ADA]["properties"][PHONE_PROPERTY.removeprefix("properties.")] == PHONE
    assert profiles[ADA]["phone_number"] == (PHONE if merges else None)


async def test_a_new_address_with_a_phone_number_of_another_profile_is_written(writes: ProfileWrites) -> None:
    profile_id = await writes.id_of(ProfileRequest({}, ADA))
    await writes.write(ProfileRequest({}, BO, PHONE))
    result = await writes.write(ProfileRequest({}, NEW, PHONE, former_email=ADA), profile_id)
    assert (result.profile_id, result.notes) == (profile_id, [PHONE_KEPT_AS_PROPERTY])
    assert set(await writes.profiles()) == {NEW, BO}


async def test_the_profile_with_the_phone_number_is_merged_with_the_option(writes: ProfileWrites) -> None:
    profile_id = await writes.id_of(ProfileRequest({}, ADA))
    await writes.write(ProfileRequest({"title": "Dr"}, BO, PHONE))
    result = await writes.write(ProfileRequest({}, NEW, PHONE, former_email=ADA), profile_id, merge_profiles=True)
    assert (result.profile_id, result.notes) == (profile_id, [PHONE_KEPT_AS_PROPERTY, MERGED])
    assert (await wait_for_profiles(writes, 1))[NEW]["title"] == "Dr"


async def test_an_unknown_former_address_is_ignored(writes: ProfileWrites) -> None:
    result = await writes.write(ProfileRequest({}, NEW, former_email=ADA))
    assert (result.notes, list(await writes.profiles())) == ([FORMER_CONTACT_UNKNOWN], [NEW])


async def test_a_deleted_profile_is_recreated(writes: ProfileWrites) -> None:
    result = await writes.write(ProfileRequest({}, NEW, former_email=ADA), "01NOBODY")
    assert result.profile_id not in (None, "01NOBODY")
    assert result.notes[0].code is DeliveryNote.PROFILE_RECREATED


async def test_a_rejection_contains_the_detail_of_klaviyo(writes: ProfileWrites) -> None:
    result = await writes.write(ProfileRequest({}, 'quoted"name@lantern.example'))
    assert isinstance(result.outcome, Refused)
    assert "email" in result.outcome.detail.lower()


async def test_with_update_only_no_profile_is_created(writes: ProfileWrites) -> None:
    unknown = await writes.write(ProfileRequest({}, ADA), update_only=True)
    assert (unknown.is_missing, await writes.profiles()) == (True, {})
    await writes.write(ProfileRequest({}, ADA))
    known = await writes.write(ProfileRequest({"title": "Dr"}, ADA), update_only=True)
    assert not known.is_missing
    renamed = await writes.write(ProfileRequest({}, NEW, former_email=ADA), update_only=True)
    assert [(email, one["title"]) for email, one in (await writes.profiles()).items()] == [(NEW, "Dr")]
    assert renamed.profile_id == known.profile_id


async def test_a_profile_is_erased_by_its_identifier(writes: ProfileWrites) -> None:
    await writes.write(ProfileRequest({}, ADA, PHONE))
    await writes.write(ProfileRequest(email=ADA, erase=True))
    await wait_for_profiles(writes, 0)
