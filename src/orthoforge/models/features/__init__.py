"""Networks that others trained on ImageNet, through which images are compared: built, named by layer, and their weights read."""
