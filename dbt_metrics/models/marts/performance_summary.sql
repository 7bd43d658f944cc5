with trades as (

    select * from {{ ref('trades') }}

),

days as (

    select * from {{ ref('daily_metrics') }}

),

scoped as (

    select 'all' as scope, 'all' as value, * from trades
    union all
    select 'direction' as scope, direction as value, * from trades
    union all
    select 'exit_reason' as scope, exit_reason as value, * from trades
    where status = 'closed'

),

-- An account that has not traded has its row too.
scopes as (

    select account, scope, value from scoped
    union
    select account, 'all' as scope, 'all' as value from days

),

counted as (

    select
        account,
        scope,
        value,
        count(*) filter (where status = 'closed') as trades,
        count(*) filter (where status = 'open') as open_trades,
        count(*) filter (where status = 'closed' and net_pnl > 0) as winners,
        count(*) filter (where status = 'closed' and net_pnl < 0) as losers,
        sum(net_pnl) filter (where status = 'closed' and net_pnl > 0) as gross_profit,
        sum(net_pnl) filter (where status = 'closed' and net_pnl < 0) as gross_loss,
        sum(net_pnl) filter (where status = 'closed') as net_pnl,
        avg(net_pnl) filter (where status = 'closed') as expectancy,
        sum(net_pnl) filter (where r_multiple is not null) / sum(initial_risk) filter (where r_multiple is not null)
            as expectancy_r,
        avg(r_multiple) as average_r,
        avg(net_pnl) filter (where status = 'closed' and net_pnl > 0) as average_win,
        avg(net_pnl) filter (where status = 'closed' and net_pnl < 0) as average_loss,
        max(net_pnl) filter (where status = 'closed' and net_pnl > 0) as largest_win,
        min(net_pnl) filter (where status = 'closed' and net_pnl < 0) as largest_loss,
        avg(holding_hours) filter (where status = 'closed') as average_hold_hours,
        avg(holding_sessions) filter (where status = 'closed') as average_hold_sessions,
        sum(commission) filter (where status = 'closed') as commission

    from scoped
    group by account, scope, value

),

of_days as (

    select
        account,
        'all' as scope,
        count(*) as sessions,
        max_by(cumulative_return_pct, session) as total_return_pct,
        max(drawdown_sessions) as max_drawdown_sessions,
        min(max_drawdown_pct) as max_drawdown_pct,
        -- Of a few sessions no figure of a year is given: it would be chance.
        sessions >= {{ var('few_sessions') }} as are_enough,
        case when are_enough then arg_max_null(volatility_pct, session) end as volatility_pct,
        case when are_enough then arg_max_null(sharpe, session) end as sharpe,
        case when are_enough then arg_max_null(sortino, session) end as sortino,
        avg(gross_exposure_pct) as average_gross_exposure_pct,
        avg(turnover_pct) as turnover_pct,
        count(return_pct) as returns,
        case when are_enough and returns > 0 and total_return_pct > -100
            then 100 * ((1 + total_return_pct / 100) ** ({{ var('sessions_per_year') }} / returns) - 1)
        end as annual_return_pct

    from days
    group by account

)

select
    account,
    scope,
    value,
    coalesce(trades, 0) as trades,
    coalesce(winners, 0) as winners,
    coalesce(losers, 0) as losers,
    coalesce(open_trades, 0) as open_trades,
    winners / nullif(trades, 0) as win_rate,
    coalesce(gross_profit, 0) as gross_profit,
    coalesce(gross_loss, 0) as gross_loss,
    coalesce(gross_profit, 0) / abs(gross_loss) as profit_factor,
    expectancy,
    expectancy_r,
    average_win,
    average_loss,
    average_r,
    largest_win,
    largest_loss,
    average_hold_hours,
    average_hold_sessions,
    coalesce(net_pnl, 0) as net_pnl,
    coalesce(commission, 0) as commission,
    sessions,
    total_return_pct,
    annual_return_pct,
    volatility_pct,
    sharpe,
    sortino,
    case when max_drawdown_pct < 0 then annual_return_pct / abs(max_drawdown_pct) end as calmar,
    max_drawdown_pct,
    max_drawdown_sessions,
    average_gross_exposure_pct,
    turnover_pct

from scopes
left join counted using (account, scope, value)
left join of_days using (account, scope)
