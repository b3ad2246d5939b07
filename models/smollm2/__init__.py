"""The language model SmolLM2-135M-Instruct, exported in the ways that language models are, and text as tokens."""
