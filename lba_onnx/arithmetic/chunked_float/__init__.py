"""The kind of Blumenfeld, Hubara and Soudry (ICLR 2024): floats without subnormals, summed in chunks."""
