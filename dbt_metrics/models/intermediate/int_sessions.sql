-- Sessions of the exchange as far as the history knows: those of its slots and closes, and those of daily bars, which are
-- there also for sessions in which the pipeline did not run.
select
    session,
    row_number() over (order by session) as session_number

from (
    select slot[:10]::date as session from {{ ref('stg_materializations') }}
    union
    select session from {{ ref('stg_closing_account') }}
    union
    select session from {{ ref('stg_bars') }}
    union
    select session from {{ ref('stg_fills') }}
)
