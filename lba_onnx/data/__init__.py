"""Samples: where they come from, and the feeds that a model takes."""
