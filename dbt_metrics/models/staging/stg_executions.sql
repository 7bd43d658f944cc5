select
    order_ref,
    slot || ':' || symbol as slot_symbol,
    slot,
    symbol,
    leg,
    outcome,
    reason

from {{ source('current', 'executions') }}
