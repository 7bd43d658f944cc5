"""The exchange behind the gateway: orders, matching, positions, cash, and the book that survives a restart."""
