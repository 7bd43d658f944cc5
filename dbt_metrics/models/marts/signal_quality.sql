{% set components = ['total', 'momentum', 'mean_reversion', 'volatility', 'volume', 'microstructure'] %}

-- One reading of the signals, which is most of the work; the bins are few.
with signals as materialized (

    select
        account,
        {% for component in components -%}
        least(floor({{ component }}_score / 10), 9)::integer as {{ component }}_bin,
        {% endfor -%}
        outcome in ('working', 'partly_filled', 'filled', 'cancelled', 'rejected') as is_order,
        outcome in ('partly_filled', 'filled') as is_filled,
        win_probability,
        exit_reason,
        net_pnl,
        r_multiple

    from {{ ref('signal_history') }}

),

binned as (

    {% for component in components -%}
    select
        account,
        '{{ component }}' as component,
        {{ component }}_bin as bin,
        count(*) as signals,
        count(*) filter (where is_order) as orders,
        count(*) filter (where is_filled) as filled,
        count(net_pnl) as trades,
        count(*) filter (where net_pnl > 0) as winners,
        count(*) filter (where exit_reason = 'target') as targets,
        avg(r_multiple) as average_r,
        avg(net_pnl) as expectancy,
        sum(net_pnl) as net_pnl,
        avg(win_probability) filter (where net_pnl is not null) as predicted_win_probability

    from signals
    group by all

    {{ "union all" if not loop.last }}

    {% endfor -%}
)

select
    coalesce(account, 'unknown') as account,
    component,
    10.0::double * bin as bin_low,
    10.0::double * bin + 10 as bin_high,
    signals,
    orders,
    filled,
    trades,
    winners / nullif(trades, 0) as win_rate,
    average_r,
    expectancy,
    coalesce(net_pnl, 0) as net_pnl,
    predicted_win_probability,
    targets / nullif(trades, 0) as hit_target_share

from binned
