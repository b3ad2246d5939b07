"""Dot products cut into slices: each is summed by another accumulator, and the sums of slices are combined."""
