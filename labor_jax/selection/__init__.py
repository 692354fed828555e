"""What is asked: scores of pixels, and how points and segments are chosen by them."""
