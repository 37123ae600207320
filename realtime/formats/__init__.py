"""A tracked recording as files of other programs: see ``table`` for which."""
