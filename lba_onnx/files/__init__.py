"""Files of the user's: what may be written, and writing it whole or not at all, JSON and figures among it."""
