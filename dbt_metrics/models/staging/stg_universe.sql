select
    slot,
    symbol,
    rank

from {{ source('main', 'universe') }}
where materialization_id in (
    select materialization_id from {{ ref('stg_materializations') }} where asset = 'universe'
)
