"""The voice activity detector Silero VAD, and half a minute of speech with the times at which somebody speaks."""
