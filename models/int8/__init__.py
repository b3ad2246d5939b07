"""Models whose products are of integers: quantized statically here, or dynamically in packages that ship them."""
