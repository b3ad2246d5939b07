"""RapidOCR's three networks, and images of text."""
