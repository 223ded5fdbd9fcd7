"""The house: settings, bell, streams, supervisor, bootstrap, doctor."""
