"""Why a sign-in, an invitation or a password change was rejected: codes, and the message for each."""

from enum import StrEnum

MIN_PASSWORD_LENGTH, MAX_PASSWORD_LENGTH = 12, 500


class SignInErrorCode(StrEnum):
    """Why a user was rejected."""

    WRONG_CREDENTIALS = "wrong_credentials"
    WRONG_CURRENT_PASSWORD = "wrong_current_password"  # noqa: S105 - the name of an error, not a password
    TOO_MANY_ATTEMPTS = "too_many_attempts"
    PASSWORDS_DISABLED = "passwords_disabled"
    INVITATION_EXPIRED = "invitation_expired"
    USER_EXISTS = "user_exists"
    CONCURRENT_CHANGE = "concurrent_change"
    """Another request removed or created the user at the same time."""
    INVALID_EMAIL = "invalid_email"
    PASSWORD_CONTROL_CHARACTERS = "password_control_characters"  # noqa: S105 - the name of an error, not a password
    PASSWORD_BLANK = "password_blank"  # noqa: S105 - the name of an error, not a password
    PASSWORD_TOO_SHORT = "password_too_short"  # noqa: S105 - the name of an error, not a password
    PASSWORD_TOO_LONG = "password_too_long"  # noqa: S105 - the name of an error, not a password
    INVALID_IDENTITY = "invalid_identity"
    AMBIGUOUS_IDENTITY = "ambiguous_identity"
    """The identity has characters that look like others, so that a comparison could take it for another user's."""
    NO_IDENTITY = "no_identity"
    EMAIL_NOT_VERIFIED = "email_not_verified"
    NOT_ALLOWED = "not_allowed"
    PENDING_SIGN_IN_EXPIRED = "pending_sign_in_expired"
    PROVIDER_REJECTED = "provider_rejected"
    INVALID_PROVIDER_RESPONSE = "invalid_provider_response"


MESSAGES = {
    SignInErrorCode.WRONG_CREDENTIALS: "The email or the password is wrong.",
    SignInErrorCode.WRONG_CURRENT_PASSWORD: "The current password is wrong.",
    SignInErrorCode.TOO_MANY_ATTEMPTS: "Too many failed sign-ins. Try again in {wait}.",
    SignInErrorCode.PASSWORDS_DISABLED: "Passwords are not used here. Sign in with the provider.",
    SignInErrorCode.INVITATION_EXPIRED: "This link was already used or has expired. Ask an admin for a new one.",
    SignInErrorCode.USER_EXISTS: "A user with this email address exists already. Sign in instead.",
    SignInErrorCode.CONCURRENT_CHANGE: "The sign-in did not complete. Try again.",
    SignInErrorCode.INVALID_EMAIL: "Enter your email address, such as ada@acme.com.",
    SignInErrorCode.PASSWORD_CONTROL_CHARACTERS: "A password cannot contain control characters.",
    SignInErrorCode.PASSWORD_BLANK: "A password cannot consist of white space only.",
    SignInErrorCode.PASSWORD_TOO_SHORT: (
        f"A password needs at least {MIN_PASSWORD_LENGTH} characters, without spaces around them."
    ),
    SignInErrorCode.PASSWORD_TOO_LONG: f"A password has at most {MAX_PASSWORD_LENGTH} characters.",
    SignInErrorCode.INVALID_IDENTITY: (
        "The sign-in provider's name for you cannot be used: it is too long or contains unusual characters."
    ),
    SignInErrorCode.AMBIGUOUS_IDENTITY: (
        "The sign-in provider's name for you cannot be used: it contains characters that look like others."
    ),
    SignInErrorCode.NO_IDENTITY: "{provider} did not send your identity: its response has no claim {claim!r}.",
    SignInErrorCode.EMAIL_NOT_VERIFIED: "{provider} has not verified your email address.",
    SignInErrorCode.NOT_ALLOWED: "{identity} is not allowed to sign in here. Ask an admin of this service.",
    SignInErrorCode.PENDING_SIGN_IN_EXPIRED: (
        "This sign-in was started in another browser, or too long ago. Try again."
    ),
    SignInErrorCode.PROVIDER_REJECTED: "{provider} did not sign you in ({reason}).",
    SignInErrorCode.INVALID_PROVIDER_RESPONSE: (
        "The sign-in provider's response cannot be used: {reason}. An admin can check the service's OIDC settings."
    ),
}


class SignInError(Exception):
    """A sign-in, an invitation or a password change was rejected."""

    def __init__(self, code: SignInErrorCode, **details: str) -> None:
        super().__init__(code, details)
        self.code = code
        self.details = details

    @property
    def message(self) -> str:
        """The message for the user. It contains nothing that the user may not know."""
        return MESSAGES[self.code].format(**self.details)

    def __str__(self) -> str:
        return self.message


class TooManyAttempts(SignInError):
    """Too many sign-ins failed."""

    def __init__(self, wait_minutes: int) -> None:
        wait = f"{wait_minutes} minute{'s' if wait_minutes > 1 else ''}"
        super().__init__(SignInErrorCode.TOO_MANY_ATTEMPTS, wait=wait)
