-- An execution that was corrected is out; what corrects it counts in its place. Shares are decimals, so that a position
-- that is closed is exactly nothing.
select
    exec_id,
    order_ref,
    account,
    symbol,
    side,
    quantity::decimal(18, 6) as quantity,
    price,
    commission,
    filled_at,
    (filled_at at time zone 'America/New_York')::date as session,
    nullif(
        regexp_extract(order_ref, '^\d{4}-\d\d-\d\dT\d\d:\d\d:.+:(entry|stop|target|exit)$', 1), ''
    ) as leg

from {{ source('journal', 'fills') }}
where corrected_by is null
