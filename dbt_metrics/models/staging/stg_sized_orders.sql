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

from {{ source('current', 'sized_orders') }}
