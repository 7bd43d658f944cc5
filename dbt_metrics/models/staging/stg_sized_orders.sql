select
    order_ref,
    slot || ':' || symbol as slot_symbol,
    slot,
    symbol,
    direction,
    quantity,
    approved,
    reason

from {{ source('current', 'sized_orders') }}
