with parts as (

    select * from {{ ref('int_trade_parts') }}

),

trades as (

    select
        trade_id,
        account,
        symbol,
        sum(case when is_entry then quantity else -quantity end) = 0 as is_closed,
        min(filled_at) as opened_at,
        min(session) as opened_session,
        case when is_closed then max(filled_at) else 'infinity'::timestamptz end as closed_at,
        case when is_closed then max(session) else 'infinity'::date end as closed_session

    from parts
    group by trade_id, account, symbol

),

marks as (

    select
        account.account,
        portfolio.symbol,
        account.read_at as seen_at,
        portfolio.market_price as price

    from {{ ref('int_account_readings') }} as account
    inner join {{ ref('stg_portfolio') }} as portfolio
        on account.portfolio_materialization_id = portfolio.materialization_id

    union all

    select
        traded.account,
        quotes.symbol,
        quotes.observed_at as seen_at,
        quotes.last as price

    from {{ ref('stg_quotes') }} as quotes
    inner join (select distinct account, symbol from trades) as traded using (symbol)
    where quotes.last is not null

),

seen as (

    select
        trade_id,
        filled_at as seen_at,
        price as low,
        price as high,
        price as last

    from parts

    union all

    select
        trades.trade_id,
        marks.seen_at,
        marks.price as low,
        marks.price as high,
        marks.price as last

    from marks
    inner join trades
        on marks.account = trades.account
        and marks.symbol = trades.symbol
        and marks.seen_at >= trades.opened_at
        and marks.seen_at <= trades.closed_at

    union all

    select
        trades.trade_id,
        null as seen_at,
        bars.low,
        bars.high,
        null as last

    from {{ ref('stg_bars') }} as bars
    inner join trades
        on bars.symbol = trades.symbol
        and bars.session > trades.opened_session
        and bars.session < trades.closed_session

)

select
    trade_id,
    min(low) as lowest_price,
    max(high) as highest_price,
    max_by(last, seen_at) as last_price

from seen
group by trade_id
