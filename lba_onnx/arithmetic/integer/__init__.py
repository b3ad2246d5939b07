"""Sums of products of integer codes in registers that wrap or saturate."""
