select
    materialization_id,
    slot,
    symbol,
    quantity,
    market_price,
    market_value

from {{ source('main', 'portfolio') }}

union all

select
    materialization_id,
    slot,
    symbol,
    quantity,
    market_price,
    market_value

from {{ source('main', 'closing_portfolio') }}
