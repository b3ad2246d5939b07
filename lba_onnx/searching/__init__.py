"""Finds the best accumulator for each product of a model: under a budget, or for a loss that is granted."""
