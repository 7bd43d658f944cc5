-- The version of each asset that counts in its slot: that of the first run whose orders were sent, for what was decided
-- again later is no part of what happened; the newest where none were sent, or where that run made no version of its own.
-- What other runs of the slot sent is added to its orders, in stg_sized_orders and stg_executions.
with sending as (

    select
        intents.slot,
        min_by(materializations.run_id, materializations.id) as run_id

    from {{ source('journal', 'intents') }} as intents
    inner join {{ source('lineage', 'materializations') }} as materializations
        on intents.materialization_id = materializations.id
    where intents.leg = 'entry' and intents.state not in ('planned', 'refused')
    group by intents.slot

),

counting as (

    select
        coalesce(
            max(materializations.id) filter (where materializations.run_id = sending.run_id), max(materializations.id)
        ) as materialization_id

    from {{ source('lineage', 'materializations') }} as materializations
    left join sending on materializations.slot = sending.slot
    -- What is read after the close belongs to no slot, though it is kept under the last.
    where materializations.asset not in ('closing_account', 'closing_portfolio')
    group by materializations.slot, materializations.asset

)

select
    materializations.id as materialization_id,
    materializations.asset,
    materializations.slot,
    materializations.run_id,
    materializations.started_at,
    materializations.finished_at,
    materializations.id not in (select materialization_id from {{ source('lineage', 'pruned') }}) as has_rows

from {{ source('lineage', 'materializations') }} as materializations
inner join counting on materializations.id = counting.materialization_id
