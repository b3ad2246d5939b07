"""Plots of a report, a module each: data in, inline SVG out."""
