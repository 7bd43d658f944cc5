"""What every asset of a slot has in common, said once: partitions, stage, stored frame, code version, column schema.

The decorators here are what the four stage modules use instead of Dagster's own. No asset is defined here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dagster as dg

from quant_pipeline.assets.slot_run import SLOTS
from quant_pipeline.code_version import code_version
from quant_pipeline.frames import FRAMES

HISTORY_IO = "history_io"

KIND_OF_STAGE = {"observe": "interactivebrokers", "decide": "numpy", "act": "interactivebrokers", "measure": "pandas"}


def slot_asset(stage: str, *, retry_policy: dg.RetryPolicy | None = None) -> Callable[[Callable[..., Any]], Any]:
    """An asset of a stage that returns the frame of ``FRAMES`` that bears its function's name."""

    def decorate(compute: Callable[..., Any]) -> dg.AssetsDefinition:
        name = compute.__name__
        return dg.asset(
            name=name,
            partitions_def=SLOTS,
            group_name=stage,
            kinds={KIND_OF_STAGE[stage], "duckdb"},
            code_version=code_version(stage),
            io_manager_key=HISTORY_IO,
            retry_policy=retry_policy,
            description=_described(name, compute),
            metadata={"dagster/column_schema": column_schema(name)},
        )(compute)

    return decorate


def slot_multi_asset(
    stage: str, *, outs: tuple[str, ...], retry_policy: dg.RetryPolicy | None = None
) -> Callable[[Callable[..., Any]], Any]:
    """Several assets of a stage whose frames come of one reading, in the order of ``outs``."""

    def decorate(compute: Callable[..., Any]) -> dg.AssetsDefinition:
        return dg.multi_asset(
            name=compute.__name__,
            partitions_def=SLOTS,
            group_name=stage,
            retry_policy=retry_policy,
            outs={
                name: dg.AssetOut(
                    io_manager_key=HISTORY_IO,
                    kinds={KIND_OF_STAGE[stage], "duckdb"},
                    code_version=code_version(stage),
                    description=_described(name, compute),
                    metadata={"dagster/column_schema": column_schema(name)},
                )
                for name in outs
            },
        )(compute)

    return decorate


def column_schema(asset: str) -> dg.TableSchema:
    """The columns of an asset's frame as the Dagster UI shows them."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=str(name),
                type=(column.metadata or {}).get("sql") or str(column.dtype),
                description=column.description,
                constraints=dg.TableColumnConstraints(nullable=column.nullable, unique=column.unique),
            )
            for name, column in FRAMES[asset].columns.items()
        ]
    )


def _described(asset: str, compute: Callable[..., Any]) -> str:
    return f"{(compute.__doc__ or '').strip()}\n\n{FRAMES[asset].description}"
