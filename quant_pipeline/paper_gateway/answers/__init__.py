"""What the gateway answers to each request, out of the market and the book."""
