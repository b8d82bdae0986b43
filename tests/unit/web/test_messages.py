"""Messages of the console: every code has a sentence."""

import pytest

from kustomer_klaviyo.web.console.messages import TITLES, MessagePage, Notice, notice_text


@pytest.mark.parametrize("notice", Notice)
def test_every_notice_has_a_sentence(notice: Notice) -> None:
    assert notice_text(notice).endswith(".")
    assert "lacks lists:read" in notice_text(notice, ["lists:read"])


def test_every_message_page_has_a_title() -> None:
    assert set(TITLES) == set(MessagePage)
