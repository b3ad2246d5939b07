"""Builds the wheels of a release from a clean checkout, checks them, and writes their sums and an SBOM.

    python -m tools.release --output dist

docs/shipping.md says what it needs and what it makes.
"""
