"""Scans, scores, sizes and trades US stocks at Interactive Brokers, and can explain every order.

Data flows observe -> decide -> act -> measure; ``assets`` holds these four stages, the other rooms do their work.
"""
