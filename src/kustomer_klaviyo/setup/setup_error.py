"""Errors of set-up: their codes, and the one place that renders them as sentences. Pure."""

from enum import StrEnum


class VendorAction(StrEnum):
    """A request that set-up makes to a vendor."""

    LIST_WEBHOOKS = "list_webhooks"
    CREATE_WEBHOOK = "create_webhook"
    READ_WEBHOOK_TOKEN = "read_webhook_token"  # noqa: S105 - a code, not a secret
    REPLACE_DISABLED_WEBHOOK = "replace_disabled_webhook"
    DELETE_PREVIOUS_WEBHOOK = "delete_previous_webhook"
    READ_ORGANISATION = "read_organisation"
    READ_ROLES = "read_roles"
    READ_CUSTOMER = "read_customer"
    LIST_APPS = "list_apps"
    LIST_INSTALLED_APPS = "list_installed_apps"
    REGISTER_APP = "register_app"
    INSTALL_APP = "install_app"
    READ_CARD_SECRET = "read_card_secret"  # noqa: S105 - a code, not a secret
    SET_CARD_SECRET = "set_card_secret"  # noqa: S105 - a code, not a secret
    READ_KLAVIYO_ACCOUNT = "read_klaviyo_account"


_ACTIONS = {
    VendorAction.LIST_WEBHOOKS: "Listing the Kustomer webhooks",
    VendorAction.CREATE_WEBHOOK: "Creating the Kustomer webhook",
    VendorAction.READ_WEBHOOK_TOKEN: "Reading the Kustomer webhook's token",
    VendorAction.REPLACE_DISABLED_WEBHOOK: "Replacing the disabled Kustomer webhook",
    VendorAction.DELETE_PREVIOUS_WEBHOOK: "Deleting the previous Kustomer webhook",
    VendorAction.READ_ORGANISATION: "Reading the Kustomer organisation",
    VendorAction.READ_ROLES: "Reading the roles of the Kustomer key",
    VendorAction.READ_CUSTOMER: "Reading the customer",
    VendorAction.LIST_APPS: "Listing the Kustomer apps",
    VendorAction.LIST_INSTALLED_APPS: "Listing the installed apps",
    VendorAction.REGISTER_APP: "Registering the Kustomer app",
    VendorAction.INSTALL_APP: "Installing the Kustomer app",
    VendorAction.READ_CARD_SECRET: "Reading the card's secret",
    VendorAction.SET_CARD_SECRET: "Setting the card's secret",
    VendorAction.READ_KLAVIYO_ACCOUNT: "Reading the Klaviyo account",
}


class SetupErrorCode(StrEnum):
    """Why set-up cannot continue."""

    KEY_REJECTED = "key_rejected"
    VENDOR_REFUSED = "vendor_refused"
    NOT_THE_API = "not_the_api"
    KLAVIYO_KEY_REJECTED = "klaviyo_key_rejected"
    KLAVIYO_UNAVAILABLE = "klaviyo_unavailable"
    KLAVIYO_ACCOUNT_UNKNOWN = "klaviyo_account_unknown"
    SITE_ID_MISMATCH = "site_id_mismatch"
    KLAVIYO_ACCOUNT_CHANGED = "klaviyo_account_changed"
    KLAVIYO_SCOPES_MISSING = "klaviyo_scopes_missing"
    ORGANISATION_MISMATCH = "organisation_mismatch"
    ORGANISATION_ID_MISSING = "organisation_id_missing"
    KUSTOMER_ROLES_MISSING = "kustomer_roles_missing"
    WEBHOOK_ID_MISSING = "webhook_id_missing"
    WEBHOOK_TOKEN_HIDDEN = "webhook_token_hidden"  # noqa: S105 - a code, not a secret
    APP_VERSIONS_TAKEN = "app_versions_taken"
    SECRET_EMPTY = "secret_empty"  # noqa: S105 - a code, not a secret
    SECRET_MALFORMED = "secret_malformed"  # noqa: S105 - a code, not a secret
    INVALID_URL = "invalid_url"
    SITE_ID_EMPTY = "site_id_empty"
    INVALID_ORGANISATION = "invalid_organisation"
    INVALID_CONNECTION_NAME = "invalid_connection_name"
    CONNECTION_EXISTS = "connection_exists"
    PUBLIC_URL_MISSING = "public_url_missing"
    INVALID_OPTION = "invalid_option"
    PREVIEW_FAILED = "preview_failed"


_MESSAGES = {
    SetupErrorCode.KEY_REJECTED: (
        "{action}: the API key was rejected ({status}: {detail}). Check the key and its permissions."
    ),
    SetupErrorCode.VENDOR_REFUSED: "{action}: {detail}",
    SetupErrorCode.NOT_THE_API: "{action}: the response does not come from the API. Is the address right?",
    SetupErrorCode.KLAVIYO_KEY_REJECTED: "Klaviyo rejected this key. Is it complete, and does it still exist?",
    SetupErrorCode.KLAVIYO_UNAVAILABLE: "The key could not be checked with Klaviyo: {detail}",
    SetupErrorCode.KLAVIYO_ACCOUNT_UNKNOWN: ("No response names the Klaviyo account of the key. Is the address right?"),
    SetupErrorCode.SITE_ID_MISMATCH: (
        "This key belongs to the Klaviyo account {account}, not {site_id}. In the account you want to connect, open "
        "Settings > API keys: the site ID is its public key."
    ),
    SetupErrorCode.KLAVIYO_ACCOUNT_CHANGED: (
        "The new Klaviyo key belongs to account {account}, but this connection to {connected_account}. Create another "
        "connection for another account: --connection NAME"
    ),
    SetupErrorCode.KLAVIYO_SCOPES_MISSING: (
        "This Klaviyo key lacks {scopes}. The scopes of a key cannot be changed: create a new key, with the scopes "
        "already selected, at {url}"
    ),
    SetupErrorCode.ORGANISATION_MISMATCH: ("The Kustomer key belongs to organisation {actual!r}, not {expected!r}."),
    SetupErrorCode.ORGANISATION_ID_MISSING: "Reading the Kustomer organisation: the response contains no id.",
    SetupErrorCode.KUSTOMER_ROLES_MISSING: (
        "This Kustomer key lacks {roles}. Create a new key with these roles in Kustomer's settings."
    ),
    SetupErrorCode.WEBHOOK_ID_MISSING: (
        "Creating the Kustomer webhook: the response contains no webhook. Check the webhooks in Kustomer's settings."
    ),
    SetupErrorCode.WEBHOOK_TOKEN_HIDDEN: ("Kustomer does not show the token of the webhook: the key may not read it."),
    SetupErrorCode.APP_VERSIONS_TAKEN: "Registering the Kustomer app: every version that was tried exists already.",
    SetupErrorCode.SECRET_EMPTY: "Enter the {title}.",
    SetupErrorCode.SECRET_MALFORMED: ("The {title} contains a space or a line break, or is too long. Copy it again."),
    SetupErrorCode.INVALID_URL: "{url!r} is not an address such as https://hooks.acme.com",
    SetupErrorCode.SITE_ID_EMPTY: ("Enter the site ID: six letters and digits, in Klaviyo under Settings > API keys."),
    SetupErrorCode.INVALID_ORGANISATION: ("Enter the organisation as in its address: acme for acme.kustomerapp.com."),
    SetupErrorCode.INVALID_CONNECTION_NAME: (
        "The name of a connection consists of lower-case letters, digits and dashes."
    ),
    SetupErrorCode.CONNECTION_EXISTS: (
        "A connection {name!r} exists already: change its keys on its own page. To connect the organisation to another "
        "Klaviyo account, give this connection another name."
    ),
    SetupErrorCode.PUBLIC_URL_MISSING: "Enter where Kustomer reaches this service: --public-url https://...",
    SetupErrorCode.INVALID_OPTION: "{detail}",
    SetupErrorCode.PREVIEW_FAILED: "{detail}",
}


INPUT_ERRORS = frozenset(
    {
        SetupErrorCode.SECRET_EMPTY,
        SetupErrorCode.SECRET_MALFORMED,
        SetupErrorCode.INVALID_URL,
        SetupErrorCode.PUBLIC_URL_MISSING,
    }
)
"""What the admin entered cannot be valid; no vendor was asked."""


class SetupError(Exception):
    """Set-up cannot continue. The message says why, and what to do."""

    def __init__(self, code: SetupErrorCode, **details: object) -> None:
        super().__init__(_MESSAGES[code].format_map(details))
        self.code = code

    @property
    def is_input_error(self) -> bool:
        """Whether the admin's input is invalid, whatever the vendors say."""
        return self.code in INPUT_ERRORS


def describe(action: VendorAction) -> str:
    """Render an action for people."""
    return _ACTIONS[action]
