"""What builds and checks releases, machine code and the site; run from the repository root, never installed."""
