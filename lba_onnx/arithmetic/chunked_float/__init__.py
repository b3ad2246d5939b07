"""Sums of floats, by default those of Blumenfeld, Hubara and Soudry (ICLR 2024); in any order, with any rounding."""
