-- Of every version, for a slot may have been read for two accounts, and the newest version is one account's. What the
-- account was at the first reading is kept beside the newest: where its history begins, that is what it began with.
select
    account.materialization_id,
    account.account,
    account.slot,
    account.slot[:10]::date as session,
    materializations.run_id,
    account.net_liquidation,
    account.capital,
    account.deployed,
    account.read_at,
    count(*) over versions as readings,
    first_value(account.net_liquidation) over versions as first_net_liquidation,
    first_value(account.capital) over versions as first_capital,
    first_value(account.daily_pnl) over versions as first_daily_pnl

from {{ source('main', 'account') }} as account
inner join {{ source('lineage', 'materializations') }} as materializations
    on account.materialization_id = materializations.id
window versions as (
    partition by account.account, account.slot order by account.materialization_id
    rows between unbounded preceding and unbounded following
)
qualify row_number() over (
    partition by account.account, account.slot order by account.materialization_id desc
) = 1
