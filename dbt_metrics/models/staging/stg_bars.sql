-- As each session was first seen whole: a later split rewrites the bars of before, and not the fills.
select
    symbol,
    date as session,
    min_by(high, materialization_id) as high,
    min_by(low, materialization_id) as low

from {{ source('main', 'bars') }}
where not partial
    and not gone
group by symbol, date
