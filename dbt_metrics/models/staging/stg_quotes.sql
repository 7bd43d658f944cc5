select
    slot,
    symbol,
    last,
    observed_at

from {{ source('current', 'quotes') }}
