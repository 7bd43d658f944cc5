{{ config(materialized='view') }}

-- Not materialized: DuckDB then reads the columns that a query wants and no others, the nested ones least of all.
with sized as not materialized (

    -- Each version of the sized orders with the version of the scores it was made from.
    select
        sized.id as sized_id,
        sized.slot,
        max(scores.id) as scores_id

    from {{ source('lineage', 'materializations') }} as sized
    left join {{ source('lineage', 'inputs') }} as inputs on sized.id = inputs.materialization_id
    left join {{ source('lineage', 'materializations') }} as scores
        on inputs.input_materialization_id = scores.id
        and scores.asset = 'scores'
    where sized.asset = 'sized_orders'
    group by sized.id, sized.slot

),

counted as not materialized (

    select * from {{ ref('stg_materializations') }}

),

counted_scores as not materialized (

    select
        slot,
        materialization_id as scores_id

    from counted
    where asset = 'scores'

),

intents as not materialized (

    select
        intents.order_ref,
        intents.account,
        intents.slot,
        intents.symbol,
        intents.state,
        intents.filled_quantity,
        intents.reason,
        intents.materialization_id as sized_id,
        coalesce(sized.scores_id, counted_scores.scores_id) as scores_id

    from {{ source('journal', 'intents') }} as intents
    left join sized on intents.materialization_id = sized.sized_id
    left join counted_scores on intents.slot = counted_scores.slot
    where intents.leg = 'entry'

),

-- What was decided from the scores that count: by the run that counts, else last; where no input is noted, in the slot.
decided as not materialized (

    select
        counted_scores.slot,
        counted_scores.scores_id,
        max_by(sized.sized_id, (counted.materialization_id is not null, sized.sized_id)) filter (
            where sized.scores_id = counted_scores.scores_id or sized.scores_id is null
        ) as sized_id

    from counted_scores
    left join sized on counted_scores.slot = sized.slot
    left join counted
        on sized.sized_id = counted.materialization_id
        and counted.asset = 'sized_orders'
    group by counted_scores.slot, counted_scores.scores_id

),

-- What the sending said of it; the journal's word, which is newer, goes before.
executions as not materialized (

    select
        slot,
        symbol,
        reason,
        case when outcome <> 'refused' or status = 'rejected' then status end as state

    from {{ ref('stg_executions') }}
    where leg = 'entry'

),

-- An entry that filled in two parts, with an exit between them, made two trades.
trades as not materialized (

    select
        entry_order_ref,
        min_by(trade_id, opened_at) as trade_id,
        case when bool_and(status = 'closed') then max_by(exit_reason, closed_at) end as exit_reason,
        case when bool_and(status = 'closed') then sum(net_pnl) end as net_pnl,
        case when bool_and(status = 'closed') then sum(net_pnl) / sum(initial_risk) end as r_multiple

    from {{ ref('trades') }}
    where entry_order_ref is not null
    group by entry_order_ref

)

select
    scores.slot,
    scores.symbol,
    coalesce(intents.account, account.account) as account,
    scores.materialization_id,
    made.run_id,
    made.code_version,
    scores.settings_hash,
    scores.direction,
    scores.total_score,
    scores.opposite_score,
    scores.momentum_score,
    scores.mean_reversion_score,
    scores.volatility_score,
    scores.volume_score,
    scores.microstructure_score,
    scores.entry_price,
    scores.stop_price,
    scores.target_price,
    scores.atr,
    scores.win_probability,
    scores.expected_return_pct,
    scores.confidence,
    scores.key_signals,
    scores.missing_signals,
    sized_orders.approved,
    -- What became of an approved order speaks before why it was approved.
    case when sized_orders.approved is distinct from false then coalesce(intents.reason, executions.reason)
        else sized_orders.reason
    end as reason,
    sized_orders.quantity,
    coalesce(intents.order_ref, sized_orders.order_ref) as order_ref,
    case
        when intents.state = 'cancelled' and intents.filled_quantity > 0 then 'partly_filled'
        when coalesce(intents.state, executions.state) in ('sending', 'unknown') then 'working'
        when coalesce(intents.state, executions.state)
            in ('working', 'partly_filled', 'filled', 'cancelled', 'rejected')
            then coalesce(intents.state, executions.state)
        when sized_orders.order_ref is null and coalesce(intents.sized_id, decided.sized_id) is not null
            then 'below_threshold'
        when not sized_orders.approved then 'refused'
        else 'not_sent'
    end as outcome,
    trades.trade_id,
    trades.exit_reason,
    trades.net_pnl,
    trades.r_multiple

from {{ source('main', 'scores') }} as scores
left join decided on scores.materialization_id = decided.scores_id
left join intents
    on scores.slot = intents.slot
    and scores.symbol = intents.symbol
-- Every version is there. An inner join would have DuckDB expect a tenth of the rows, and join the rest the wrong way.
left join {{ source('lineage', 'materializations') }} as made on scores.materialization_id = made.id
left join {{ source('current', 'account') }} as account on scores.slot = account.slot
left join {{ source('main', 'sized_orders') }} as sized_orders
    on coalesce(intents.sized_id, decided.sized_id) = sized_orders.materialization_id
    and scores.symbol = sized_orders.symbol
left join executions
    on scores.slot = executions.slot
    and scores.symbol = executions.symbol
left join trades on intents.order_ref = trades.entry_order_ref
where scores.materialization_id = coalesce(intents.scores_id, decided.scores_id)
