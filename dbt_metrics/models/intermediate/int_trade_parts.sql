with fills as (

    select
        *,
        case side when 'BUY' then quantity else -quantity end as change,
        sum(change) over book as position_after,
        position_after - change as position_before

    from {{ ref('int_fills') }}
    window book as (partition by account, symbol order by filled_at, exec_id rows unbounded preceding)

),

-- A fill closes as much as there is against it and opens the rest.
divided as (

    select
        *,
        case
            when sign(change) = -sign(position_before) then least(abs(change), abs(position_before))
            else 0
        end as closes,
        abs(change) - closes as opens

    from fills

),

parts as (

    select
        * exclude (change, position_before, position_after, closes, opens, quantity, commission),
        false as is_entry,
        case when position_before > 0 then 'LONG' else 'SHORT' end as direction,
        closes as quantity,
        commission * closes / quantity as commission,
        abs(position_before) as held_before

    from divided
    where closes > 0

    union all by name

    select
        * exclude (change, position_before, position_after, closes, opens, quantity, commission),
        true as is_entry,
        case when change > 0 then 'LONG' else 'SHORT' end as direction,
        opens as quantity,
        commission * opens / quantity as commission,
        abs(position_after) - opens as held_before

    from divided
    where opens > 0

),

numbered as (

    select
        *,
        count(*) filter (where is_entry and held_before = 0) over book as trade_number

    from parts
    window book as (
        partition by account, symbol order by filled_at, exec_id, is_entry rows unbounded preceding
    )

)

select
    first_value(exec_id) over trade as trade_id,
    trade_number,
    exec_id,
    account,
    symbol,
    direction,
    is_entry,
    quantity,
    price,
    commission,
    order_ref,
    leg,
    filled_at,
    session,
    -- What later exits leave of the shares that came in with this part; at average cost each takes of all alike.
    coalesce(
        product(case when is_entry then 1 else (held_before - quantity) / held_before end) over (
            partition by account, symbol, trade_number order by filled_at, exec_id, is_entry
            rows between 1 following and unbounded following
        ),
        1
    ) as share_still_open

from numbered
window trade as (partition by account, symbol, trade_number order by filled_at, exec_id, is_entry)
