select
    materialization_id,
    slot,
    symbol,
    quantity,
    market_price,
    market_value

from {{ source('main', 'portfolio') }}
