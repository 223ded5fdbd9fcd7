"""What this room's tests share."""

from tests.announce import announce

__all__ = ["announce"]
