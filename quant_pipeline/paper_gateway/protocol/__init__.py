"""The wire protocol of TWS: frames, what clients ask, what the server sends. No state, no decisions."""
