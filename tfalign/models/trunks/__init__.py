"""The networks that the architectures are built from."""
