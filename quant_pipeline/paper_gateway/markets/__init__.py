"""Markets the gateway can play: invented from a seed, or replayed from recorded bars.

``market`` is the interface the rest of the gateway knows.
"""
