"""Every setting, declared once: type, default, limits, meaning, and how the command line spells it."""
