select
    slot,
    symbol,
    passed,
    reason

from {{ source('current', 'quality_filter') }}
