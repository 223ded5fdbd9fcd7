"""One module a section. A view parses, asks one query or service, and draws."""
