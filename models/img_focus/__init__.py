"""A vision transformer that finds what people look at in an image."""
