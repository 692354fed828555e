"""What to ask: kernels that choose pixels."""
