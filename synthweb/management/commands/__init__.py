"""Commands for operators: setup_instance, doctor."""
