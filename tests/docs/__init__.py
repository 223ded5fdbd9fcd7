"""The documentation names what exists."""
