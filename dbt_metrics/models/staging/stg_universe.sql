select
    slot || ':' || symbol as slot_symbol,
    slot,
    symbol,
    rank

from {{ source('current', 'universe') }}
