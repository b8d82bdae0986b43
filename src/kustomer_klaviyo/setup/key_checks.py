"""Whether two keys will do, found out before anything is saved."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kustomer_klaviyo.klaviyo.client import KlaviyoClient
from kustomer_klaviyo.klaviyo.scopes import ERASING, ORIGINAL, PROBES, Probe, Standing, key_page, standing
from kustomer_klaviyo.kustomer.client import KustomerClient
from kustomer_klaviyo.kustomer.roles import PERMISSIONS, is_granted
from kustomer_klaviyo.kustomer.wire import as_list, as_object, as_text
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Throttled
from kustomer_klaviyo.setup.credentials import SetupError, answer_of, read_answer

AT_ONCE = 4
ACCOUNTS = "accounts:read"


@dataclass(frozen=True, slots=True)
class Finding:
    """One scope or permission of a key."""

    name: str
    why: str
    is_needed: bool
    standing: Standing
    original: bool = False
    """Kustomer's own app asks for it, too."""


class PoorKey(SetupError):
    """A key works, and lacks something that is needed; ``findings`` say what it has and what not."""

    def __init__(self, text: str, findings: Sequence[Finding]) -> None:
        super().__init__(text)
        self.findings = findings


@dataclass(frozen=True, slots=True)
class KlaviyoCheck:
    """What a Klaviyo key is good for."""

    account: str
    """The site ID of the account that it belongs to."""
    name: str | None
    """The account's name, where the key may read it."""
    findings: tuple[Finding, ...]

    def insist(self) -> None:
        """Raise PoorKey when something needed is missing."""
        missing = lacking(self.findings, needed=True)
        if missing:
            raise PoorKey(
                f"This Klaviyo key lacks {', '.join(missing)}. A key's scopes cannot be changed: make a new key, with "
                f"them ticked already, at {key_page(missing)}",
                self.findings,
            )


@dataclass(frozen=True, slots=True)
class KustomerCheck:
    """What a Kustomer key is good for."""

    organisation: str | None
    findings: tuple[Finding, ...]

    def insist(self) -> None:
        """Raise PoorKey when something needed is missing."""
        missing = lacking(self.findings, needed=True)
        if missing:
            roles = ", ".join(f"org.permission.{name}" for name in missing)
            raise PoorKey(
                f"This Kustomer key lacks {roles}. Make a new key with these roles in Kustomer's settings.",
                self.findings,
            )


def lacking(findings: Sequence[Finding], *, needed: bool) -> list[str]:
    """Return the names of what is missing, of the needed or of the others."""
    return [one.name for one in findings if one.standing is Standing.MISSING and one.is_needed is needed]


async def check_klaviyo(
    client: KlaviyoClient, *, site_id: str | None = None, options: Mapping[str, Any] | None = None
) -> KlaviyoCheck:
    """Check that a key works, belongs to the account, and what it may do. Raises SetupError.

    ``options`` are the connection's: some need scopes of their own.
    """
    erases = (options or {}).get("on_deletion") == "erase"
    outcome = await client.account()
    match outcome:
        case LockedOut(status=401):
            raise SetupError("Klaviyo refuses this key. Is it copied whole, and not deleted since?")
        case Accepted() | LockedOut(status=403) | Throttled():
            # The limit of this question is the lowest of all, and its scope is no condition.
            pass
        case _:
            raise SetupError(f"Klaviyo could not be asked about the key: {outcome.detail}")
    gate = asyncio.Semaphore(AT_ONCE)

    async def find(probe: Probe) -> Finding:
        async with gate:
            answer = outcome if probe.scope == ACCOUNTS else await client.probe(probe)
        found = standing(probe, answer)
        is_needed = probe.is_needed or (erases and probe.scope == ERASING)
        return Finding(probe.scope, probe.why, is_needed, found, probe.scope in ORIGINAL)

    findings = await asyncio.gather(*map(find, PROBES))
    # Every answer to a key that is let in names the account.
    account = client.account_id
    if account is None:
        raise SetupError("No answer says which Klaviyo account the key belongs to. Is the address right?")
    if site_id is not None and site_id.strip().lower() != account.lower():
        raise SetupError(
            f"This key belongs to the Klaviyo account {account}, not {site_id.strip()}. Look at Settings > API keys in "
            "the account you mean: the site ID is its public key."
        )
    return KlaviyoCheck(account, _account_name(outcome), tuple(findings))


def _account_name(outcome: object) -> str | None:
    if not isinstance(outcome, Accepted):
        return None
    listed = as_list(read_answer(outcome.body, asking="Reading the Klaviyo account").get("data"))
    attributes = as_object(as_object(listed[0]).get("attributes")) if listed else {}
    return as_text(as_object(attributes.get("contact_information")).get("organization_name"))


async def check_kustomer(client: KustomerClient, *, organisation: str | None = None) -> KustomerCheck:
    """Check that a key works, belongs to the organisation, and what it may do. Raises SetupError."""
    document = answer_of(await client.organisation(), asking="Reading the Kustomer organisation")
    name = as_text(as_object(as_object(document.get("data")).get("attributes")).get("name"))
    if organisation is not None and name is not None and name != organisation:
        raise SetupError(f"The Kustomer key belongs to organisation {name!r}, not {organisation!r}.")
    roles = await _roles(client)
    findings = [Finding(one.name, one.why, one.is_needed, _standing_of(one.name, roles)) for one in PERMISSIONS]
    return KustomerCheck(name, tuple(findings))


def _standing_of(permission: str, roles: list[str] | None) -> Standing:
    if roles is None:
        return Standing.UNKNOWN
    return Standing.HAVE if is_granted(permission, roles) else Standing.MISSING


async def _roles(client: KustomerClient) -> list[str] | None:
    """Return the key's roles; None where Kustomer does not tell."""
    for ask in (client.token, client.user):
        outcome = await ask()
        if isinstance(outcome, Accepted):
            said = read_answer(outcome.body, asking="Reading the Kustomer key's roles")
            attributes = as_object(as_object(said.get("data")).get("attributes"))
            roles = [role for role in as_list(attributes.get("roles")) if isinstance(role, str)]
            if roles:
                return roles
    return None
