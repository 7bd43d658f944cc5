"""The broker's room: everything that speaks to TWS or IB Gateway, and the only place that knows ib_insync.

``session`` holds one connection; ``scanner``, ``quotes``, ``bars`` and ``account`` read through it and return the
frames of ``quant_pipeline.frames``; ``orders`` is what sends; ``reconciliation`` asks what the broker knows of our
orders; ``error_codes`` says what its codes mean. Decisions, storage and the wish to trade belong elsewhere. The assets
call these modules, and the command line's doctor does.
"""
