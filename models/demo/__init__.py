"""The demo model: a small CNN trained on Fashion-MNIST, committed with its data."""
