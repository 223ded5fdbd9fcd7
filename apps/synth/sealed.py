"""Sealed boxes: clients encrypt their environment key so that only this instance can read it.

The key pair follows from the provider secret, which lives outside the database and its backup.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TYPE_CHECKING

from django.conf import settings

from apps.accounts.errors import Refused

if TYPE_CHECKING:
    from nacl.public import PrivateKey

ALGORITHM = "libsodium.sealedbox.v1"
MAX_KEY_BYTES = 8 * 1024
_SALT = b"synthweb sealed box v1\n"


def public_key_b64() -> str:
    """Base64 of the 32 bytes of the public key."""
    return base64.b64encode(bytes(_private_key().public_key)).decode()


def open_box(ciphertext_b64: str) -> str:
    """The clear text of a sealed box. Raises Refused(422) for what was not sealed for us."""
    from nacl.exceptions import CryptoError
    from nacl.public import SealedBox

    try:
        sealed = base64.b64decode(ciphertext_b64, validate=True)
        if len(sealed) > 2 * MAX_KEY_BYTES:
            raise ValueError("too long")
        clear = SealedBox(_private_key()).decrypt(sealed).decode()
    except (binascii.Error, CryptoError, ValueError, TypeError) as err:
        raise Refused(
            "bad_box",
            "ciphertext_b64 was not sealed with this instance's public key.",
            "Fetch /api/v1/crypto/public-key again and seal the key with it.",
            status=422,
        ) from err
    if not clear or len(clear) > MAX_KEY_BYTES or not clear.isascii() or not clear.isprintable():
        raise Refused("bad_key", "The key holds characters that no header can carry.", status=422)
    return clear


def _private_key() -> PrivateKey:
    from nacl.public import PrivateKey  # 3 MB: only where a box is opened

    return PrivateKey(hashlib.sha256(_SALT + settings.PROVIDER_SECRET.encode()).digest())
