select
    slot,
    run_id,
    max(id) as materialization_id

from {{ source('lineage', 'materializations') }}
where asset = 'portfolio'
group by slot, run_id
