"""What the player makes of the notes: gate before the tracker; key, scale, expression and modes after it."""
