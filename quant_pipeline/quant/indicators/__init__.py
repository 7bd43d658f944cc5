"""The indicators: their table, the panel of bars they are computed on, and the two ways to evaluate them.

``table`` declares every column once, formula included; ``latest`` evaluates the table at the newest bar, ``history`` at
every bar. What is made of the values is the business of ``signals`` and ``quant_scorer``; frames go in and out through
``technical_indicators``, one folder up.
"""
