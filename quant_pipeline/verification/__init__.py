"""Nothing of the record is taken on trust: frames are hashed again, slots decided again, and the rest compared.

The room of ``quant-pipeline verify``. It reads history and journal, asks ``quant``, the code the assets run, to decide
once more, and has the metrics made once more in a copy of their own; of the record it changes nothing, and it knows
neither Dagster nor the broker. It is no part of ``history``, which does not know how decisions are made, nor of
``quant``, which does not know where frames are kept.
"""
