"""A voice: speech out of phonemes, by a VITS network as Piper exports it."""
