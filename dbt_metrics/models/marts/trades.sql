with parts as (

    select
        *,
        case when is_entry then quantity else 0 end as entered,
        case when is_entry then 0 else quantity end as left_with

    from {{ ref('int_trade_parts') }}

),

exits as (

    select
        trade_id,
        case leg when 'entry' then 'reversal' else coalesce(leg, 'manual') end as exit_reason,
        sum(quantity) as quantity,
        max(filled_at) as last_filled_at

    from parts
    where not is_entry
    group by all

),

exit_reasons as (

    select
        trade_id,
        max_by(exit_reason, (quantity, last_filled_at, exit_reason)) as exit_reason

    from exits
    group by trade_id

),

round_trips as (

    select
        trade_id,
        any_value(account) as account,
        any_value(symbol) as symbol,
        any_value(direction) as direction,
        case any_value(direction) when 'LONG' then 1 else -1 end as sign,
        sum(entered) = sum(left_with) as is_closed,
        max(case when exec_id = trade_id and is_entry and leg is not null then order_ref end) as entry_order_ref,
        sum(entered)::double as entry_quantity,
        sum(left_with)::double as exit_quantity,
        (sum(entered) - sum(left_with))::double as open_quantity,
        sum(entered * price) as entry_value,
        sum(left_with * price) as exit_value,
        -- At average cost: what was paid for the shares that are gone, and for those still held.
        sum(entered * price * (1 - share_still_open)) as cost_of_exits,
        sum(entered * price * share_still_open) as cost_of_open,
        min(filled_at) as opened_at,
        case when is_closed then max(filled_at) end as closed_at,
        min(session) as opened_session,
        case when is_closed then max(session) end as closed_session,
        count(*) filter (where is_entry) as entry_fills,
        count(*) filter (where not is_entry) as exit_fills,
        coalesce(sum(commission), 0) as commission,
        count(*) = count(commission) as commissions_known

    from parts
    group by trade_id

),

brackets as (

    select
        parent_ref as entry_order_ref,
        max(price) filter (where leg = 'stop') as stop_price,
        max(price) filter (where leg = 'target') as target_price

    from {{ ref('stg_intents') }}
    where parent_ref is not null
    group by parent_ref

),

-- An open trade is as old as the last reading of its account.
last_readings as (

    select
        account,
        max(read_at) as read_at,
        max(session) as session

    from {{ ref('int_account_readings') }}
    group by account

),

measured as (

    select
        round_trips.*,
        exit_reasons.exit_reason,
        entry_value / entry_quantity as entry_price,
        exit_value / nullif(exit_quantity, 0) as exit_price,
        sign * (exit_value - cost_of_exits) as gross_pnl,
        gross_pnl - commission as net_pnl,
        coalesce(brackets.stop_price, sized_orders.stop_price) as initial_stop,
        coalesce(brackets.target_price, sized_orders.target_price) as initial_target,
        nullif(abs(entry_price - initial_stop) * entry_quantity, 0) as initial_risk,
        case sign when 1 then prices.lowest_price - entry_price else entry_price - prices.highest_price end as worst,
        case sign when 1 then prices.highest_price - entry_price else entry_price - prices.lowest_price end as best,
        least(worst, 0) * entry_quantity as mae,
        greatest(best, 0) * entry_quantity as mfe,
        case when not is_closed then prices.last_price end as last_price,
        coalesce(closed_at, greatest(last_readings.read_at, opened_at), opened_at) as held_until,
        coalesce(closed_session, greatest(last_readings.session, opened_session), opened_session) as last_session

    from round_trips
    inner join {{ ref('int_trade_prices') }} as prices using (trade_id)
    left join exit_reasons using (trade_id)
    left join brackets using (entry_order_ref)
    left join {{ ref('stg_sized_orders') }} as sized_orders
        on round_trips.entry_order_ref = sized_orders.order_ref
    left join last_readings on round_trips.account = last_readings.account

)

select
    trade_id,
    account,
    symbol,
    direction,
    case when is_closed then 'closed' else 'open' end as status,
    entry_order_ref,
    entry_order_ref[:16] as entry_slot,
    case when is_closed then exit_reason end as exit_reason,
    entry_quantity,
    exit_quantity,
    open_quantity,
    entry_price,
    exit_price,
    opened_at,
    closed_at,
    opened_session,
    closed_session,
    entry_fills,
    exit_fills,
    (epoch(held_until) - epoch(opened_at)) / 3600 as holding_hours,
    last_sessions.session_number - first_sessions.session_number as holding_sessions,
    gross_pnl,
    commission,
    commissions_known,
    net_pnl,
    100 * net_pnl / entry_value as net_pnl_pct,
    initial_stop,
    initial_target,
    initial_risk,
    case when is_closed then net_pnl / initial_risk end as r_multiple,
    mae,
    mfe,
    mae / initial_risk as mae_r,
    mfe / initial_risk as mfe_r,
    last_price,
    case when not is_closed then sign * (last_price * open_quantity - cost_of_open) end as unrealized_pnl

from measured
left join {{ ref('int_sessions') }} as first_sessions on measured.opened_session = first_sessions.session
left join {{ ref('int_sessions') }} as last_sessions on measured.last_session = last_sessions.session
