"""Server-sent events: `hub` reads new rows once for all, `app` serves them, `rows` words them."""
