select
    latest.materialization_id,
    latest.asset,
    latest.slot,
    materializations.run_id,
    materializations.started_at,
    materializations.finished_at,
    latest.materialization_id not in (select materialization_id from {{ source('lineage', 'pruned') }}) as has_rows

from {{ source('lineage', 'latest') }} as latest
inner join {{ source('lineage', 'materializations') }} as materializations
    on latest.materialization_id = materializations.id
