{% set risk_free %}({{ var('risk_free_rate_pct') }} / 100.0 / {{ var('sessions_per_year') }}){% endset %}

with readings as (

    select
        account,
        session,
        -- The reading after the close is the last of its session.
        arg_max_null(portfolio_materialization_id, (is_closing, slot)) as portfolio_materialization_id,
        max_by(net_liquidation, (is_closing, slot)) as equity,
        max_by(capital, (is_closing, slot)) as capital,
        max_by(deployed, (is_closing, slot)) as deployed,
        min_by(first_net_liquidation, (is_closing, slot)) as first_equity,
        min_by(first_capital, (is_closing, slot)) as first_capital,
        arg_min_null(first_daily_pnl, (is_closing, slot)) as first_daily_pnl,
        sum(readings) as readings,
        count(*) filter (where not is_closing) as slots

    from {{ ref('int_account_readings') }}
    group by account, session

),

-- A session is measured from the last reading before it; the first one from what the account was at the close before,
-- which the broker's result of the day tells, or else from its own first reading, if it has several.
started as (

    select
        *,
        coalesce(first_equity - first_daily_pnl, case when readings > 1 then first_equity end) as start_equity,
        -- Below the equity the capital is a cap, which the equity of before may not have reached.
        case when first_capital < first_equity then least(first_capital, start_equity) else start_equity end
            as start_capital

    from readings

),

compared as (

    select
        started.*,
        coalesce(lag(equity) over by_session, start_equity) as base_equity,
        coalesce(lag(capital) over by_session, start_capital) as base_capital,
        coalesce(session_number - lag(session_number) over by_session - 1, 0) as sessions_missed,
        row_number() over by_session as place

    from started
    inner join {{ ref('int_sessions') }} as sessions using (session)
    window by_session as (partition by account order by session)

),

returns as (

    select
        *,
        equity - base_equity as pnl,
        pnl / nullif(base_capital, 0) as return_rate,
        return_rate - {{ risk_free }} as excess

    from compared

),

growth as (

    select
        *,
        product(1 + coalesce(return_rate, 0)) over to_date as wealth,
        count(excess) over to_date as returns_to_date,
        avg(excess) over to_date as mean_excess,
        stddev_samp(excess) over to_date as deviation,
        sqrt(avg(case when excess < 0 then excess ** 2 when excess >= 0 then 0 end) over to_date) as downside_deviation

    from returns
    window to_date as (partition by account order by session rows unbounded preceding)

),

peaks as (

    select
        *,
        greatest(max(wealth) over to_date, 1) as peak,
        -- Below the peak by more than rounding does.
        wealth < peak * (1 - 1e-12) as is_below

    from growth
    window to_date as (partition by account order by session rows unbounded preceding)

),

drawdowns as (

    select
        *,
        case when is_below then wealth / peak - 1 else 0 end as drawdown,
        place - coalesce(max(place) filter (where not is_below) over to_date, 0) as drawdown_sessions

    from peaks
    window to_date as (partition by account order by session rows unbounded preceding)

),

positions as (

    select
        readings.account,
        readings.session,
        coalesce(sum(market_value) filter (where market_value > 0), 0) as long_value,
        coalesce(-sum(market_value) filter (where market_value < 0), 0) as short_value,
        count(*) filter (where quantity <> 0) as open_positions

    from readings
    left join {{ ref('stg_portfolio') }} as portfolio
        on readings.portfolio_materialization_id = portfolio.materialization_id
    where readings.portfolio_materialization_id is not null
    group by readings.account, readings.session

),

traded as (

    select
        account,
        session,
        coalesce(sum(commission), 0) as commission,
        sum(quantity * price) as traded_value

    from {{ ref('int_fills') }}
    group by account, session

),

opened as (

    select
        account,
        opened_session as session,
        count(*) as trades_opened

    from {{ ref('trades') }}
    group by all

),

closed as (

    select
        account,
        closed_session as session,
        count(*) as trades_closed

    from {{ ref('trades') }}
    where status = 'closed'
    group by all

)

select
    account,
    session,
    equity,
    capital,
    pnl,
    100 * return_rate as return_pct,
    100 * (wealth - 1) as cumulative_return_pct,
    100 * drawdown as drawdown_pct,
    100 * min(drawdown) over (partition by account order by session rows unbounded preceding) as max_drawdown_pct,
    drawdown_sessions,
    -- Returns that are all alike have no deviation, but for the last digits of the arithmetic.
    case when deviation > 1e-12 then mean_excess / deviation * sqrt({{ var('sessions_per_year') }}) end as sharpe,
    case when returns_to_date > 1 and downside_deviation > 1e-12
        then mean_excess / downside_deviation * sqrt({{ var('sessions_per_year') }})
    end as sortino,
    100 * deviation * sqrt({{ var('sessions_per_year') }}) as volatility_pct,
    deployed,
    long_value,
    short_value,
    100 * (long_value + short_value) / nullif(capital, 0) as gross_exposure_pct,
    100 * (long_value - short_value) / nullif(capital, 0) as net_exposure_pct,
    open_positions,
    coalesce(trades_opened, 0) as trades_opened,
    coalesce(trades_closed, 0) as trades_closed,
    coalesce(commission, 0) as commission,
    coalesce(traded_value, 0) as traded_value,
    100 * coalesce(traded_value, 0) / nullif(capital, 0) as turnover_pct,
    slots,
    sessions_missed

from drawdowns
left join positions using (account, session)
left join traded using (account, session)
left join opened using (account, session)
left join closed using (account, session)
