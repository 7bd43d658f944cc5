select
    slot,
    symbol,
    passed,
    reason

from {{ source('main', 'quality_filter') }}
where materialization_id in (
    select materialization_id from {{ ref('stg_materializations') }} where asset = 'quality_filter'
)
