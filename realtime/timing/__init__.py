"""How a session stays on time, and how it knows: scheduling, pacing, figures, and words that nobody waits for."""
