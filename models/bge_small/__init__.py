"""The sentence encoder bge-small-en-v1.5, dynamically quantized to int8, and film reviews in one sentence."""
