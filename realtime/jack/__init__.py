"""One client in a JACK graph, jackd's or PipeWire's: sound in and MIDI out, both counted in frames of one clock."""
