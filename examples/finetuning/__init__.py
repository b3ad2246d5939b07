"""Fine-tuning experiments with low-bit accumulators: python -m examples.finetuning.<experiment> (README.md)."""
