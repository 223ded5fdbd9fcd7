"""What the published synth-ai clients send and need back: replayed quickly, and run for real."""
