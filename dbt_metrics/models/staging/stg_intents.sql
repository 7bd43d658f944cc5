select
    order_ref,
    account,
    slot,
    symbol,
    leg,
    price,
    parent_ref,
    materialization_id,
    state,
    filled_quantity,
    reason

from {{ source('journal', 'intents') }}
