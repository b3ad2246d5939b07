"""What fine-tuning needs beside a training loop of its own: schedule, callbacks, a monitor."""
