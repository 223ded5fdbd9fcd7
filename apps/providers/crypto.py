"""Encryption of secrets in rows, with a key that lives outside the database and its backup."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

from django.conf import settings

from apps.accounts.errors import Refused

if TYPE_CHECKING:
    from cryptography.fernet import Fernet  # 6 MB: only where a secret is read or written


def encrypt(clear: str) -> str:
    """A token that only this instance can read; "" stays ""."""
    return _fernet().encrypt(clear.encode()).decode() if clear else ""


def decrypt(token: str) -> str:
    """The clear text. Raises Refused when the instance's key is not the one it was made with."""
    if not token:
        return ""
    from cryptography.fernet import InvalidToken

    try:
        return _fernet().decrypt(token.encode()).decode()
    except InvalidToken as err:
        raise Refused(
            "wrong_secret",
            "A stored key cannot be decrypted: it was made with another provider secret.",
            "Put back the secret of that time (SYNTHWEB_PROVIDER_SECRET), or enter the key again.",
            status=409,
        ) from err


def _fernet() -> Fernet:
    from cryptography.fernet import Fernet

    digest = hashlib.sha256(settings.PROVIDER_SECRET.encode()).digest()
    return Fernet(base64.urlsafe_b64encode(digest))
