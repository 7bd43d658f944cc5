select
    slot,
    symbol,
    direction,
    total_score

from {{ source('main', 'scores') }}
where materialization_id in (
    select materialization_id from {{ ref('stg_materializations') }} where asset = 'scores'
)
