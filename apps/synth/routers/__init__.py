"""The addresses of CONTRACT §1, a module a subject: files, jobs, watching, models, account."""
