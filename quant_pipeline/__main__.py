"""``python -m quant_pipeline``: the same as the command ``quant-pipeline``. Nothing else belongs here."""

from quant_pipeline.cli import main

if __name__ == "__main__":
    main()
