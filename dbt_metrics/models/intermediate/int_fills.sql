-- A fill recorded before fills had an account belongs to that of its order, else to the account that was read nearest.
select
    fills.* exclude (account),
    coalesce(
        fills.account,
        intents.account,
        case
            when epoch(after.read_at) - epoch(fills.filled_at) < epoch(fills.filled_at) - epoch(before.read_at)
                then after.account
            else coalesce(before.account, after.account)
        end,
        'unknown'
    ) as account

from {{ ref('stg_fills') }} as fills
left join {{ ref('stg_intents') }} as intents on fills.order_ref = intents.order_ref
asof left join {{ ref('stg_account') }} as before on fills.filled_at >= before.read_at
asof left join {{ ref('stg_account') }} as after on fills.filled_at <= after.read_at
