select
    order_ref,
    slot,
    symbol,
    leg,
    outcome,
    reason

from {{ source('main', 'executions') }}
where materialization_id in (
    select materialization_id from {{ ref('stg_materializations') }} where asset = 'executions'
)
