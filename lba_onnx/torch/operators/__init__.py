"""The operators with gradients, and their functional forms."""
