select
    slot,
    symbol,
    rank

from {{ source('current', 'universe') }}
