select
    order_ref,
    slot,
    symbol,
    leg,
    outcome,
    reason

from {{ source('current', 'executions') }}
