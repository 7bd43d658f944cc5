select
    order_ref,
    slot,
    symbol,
    direction,
    quantity,
    stop_price,
    target_price,
    approved,
    reason

from {{ source('main', 'sized_orders') }}
where materialization_id in (
    select materialization_id from {{ ref('stg_materializations') }} where asset = 'sized_orders'
)
