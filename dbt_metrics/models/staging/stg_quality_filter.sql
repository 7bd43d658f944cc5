select
    slot || ':' || symbol as slot_symbol,
    slot,
    symbol,
    passed,
    reason

from {{ source('current', 'quality_filter') }}
