"""How a session is steered while it runs: from Python, by OSC, by the panel."""
