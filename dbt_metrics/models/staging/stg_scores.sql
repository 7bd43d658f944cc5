select
    slot || ':' || symbol as slot_symbol,
    slot,
    symbol,
    direction,
    total_score

from {{ source('current', 'scores') }}
