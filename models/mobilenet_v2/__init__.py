"""MobileNetV2 with ImageNet weights and 20 labelled images, built from packages."""
