"""Whatever goes wrong between us and a vendor is an outcome, and no fault of what was sent."""

import aiohttp
import pytest

from kustomer_klaviyo.klaviyo.client import KlaviyoClient
from kustomer_klaviyo.kustomer.client import KustomerClient
from kustomer_klaviyo.outcomes import Unreachable


@pytest.mark.parametrize("vendor", ["Klaviyo", "Kustomer"])
async def test_a_session_that_is_closed_is_a_vendor_out_of_reach(vendor: str) -> None:
    session = aiohttp.ClientSession()
    await session.close()
    address = "http://127.0.0.1:9"
    outcome = (
        await KlaviyoClient(session, base_url=address, key="k").account()
        if vendor == "Klaviyo"
        else await KustomerClient(session, base_url=address, key="k").organisation()
    )
    assert outcome == Unreachable(f"{vendor}'s answer could not be handled (RuntimeError)")
