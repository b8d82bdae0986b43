"""All sentences that the console shows by itself, by their codes. Pure.

Errors of sign-in and set-up are rendered where they are defined: ``auth/sign_in_errors.py``, ``setup/setup_error.py``.
"""

from collections.abc import Sequence
from enum import StrEnum


class MessagePage(StrEnum):
    """A page that only shows a message."""

    ADMINS_ONLY = "admins_only"
    FORM_REJECTED = "form_rejected"
    NOT_FOUND = "not_found"
    INVITATION_EXPIRED = "invitation_expired"
    NOT_SIGNED_IN = "not_signed_in"


TITLES = {
    MessagePage.ADMINS_ONLY: "Admins only",
    MessagePage.FORM_REJECTED: "Form rejected",
    MessagePage.NOT_FOUND: "Not found",
    MessagePage.INVITATION_EXPIRED: "Link expired",
    MessagePage.NOT_SIGNED_IN: "Not signed in",
}
TEXTS = {
    MessagePage.ADMINS_ONLY: "Only admins can do this.",
    MessagePage.FORM_REJECTED: (
        "The form has expired, or was sent by another site. Go back, reload the page, and try again."
    ),
    MessagePage.NOT_FOUND: "Page not found.",
    MessagePage.INVITATION_EXPIRED: "This link was already used or has expired. Ask an admin for a new one.",
}


class Notice(StrEnum):
    """The result of a submitted form, shown above the page."""

    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - a code, not a password
    KLAVIYO_KEY_ADDED = "klaviyo_key_added"
    KUSTOMER_KEY_REPLACED = "kustomer_key_replaced"
    CARD_INSTALLED = "card_installed"
    CARD_UNCHANGED = "card_unchanged"


NOTICES = {
    Notice.PASSWORD_CHANGED: "The password was changed, and all other sessions were ended.",
    Notice.KLAVIYO_KEY_ADDED: ("The new key is in use. The previous key is kept as a fallback until you remove it."),
    Notice.KUSTOMER_KEY_REPLACED: "The new Kustomer key is in use.",
    Notice.CARD_INSTALLED: "The card is installed.",
    Notice.CARD_UNCHANGED: "The card was installed already; nothing changed.",
}


def notice_text(notice: Notice, missing_scopes: Sequence[str] = ()) -> str:
    """Render a notice; about a key, with the optional scopes that it lacks."""
    if not missing_scopes:
        return NOTICES[notice]
    return f"{NOTICES[notice]} It lacks {', '.join(missing_scopes)}: the documentation says what that means."
