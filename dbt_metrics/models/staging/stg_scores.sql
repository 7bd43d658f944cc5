select
    slot,
    symbol,
    direction,
    total_score

from {{ source('current', 'scores') }}
