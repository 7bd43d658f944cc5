"""Nothing of the record is taken on trust: frames are hashed again, slots decided again, orders compared.

The room of ``quant-pipeline verify``. It reads history and journal and asks ``quant``, the code the assets run, to
decide once more; it writes nothing and knows neither Dagster nor the broker. It is no part of ``history``, which does
not know how decisions are made, nor of ``quant``, which does not know where frames are kept.
"""
