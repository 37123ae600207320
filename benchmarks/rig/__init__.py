"""A studio made of software: a private JACK server, a microphone and a MIDI recorder, for benchmarks and tests."""
