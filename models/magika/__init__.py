"""Magika's network, which tells the type of a file from its bytes, and files of known types."""
