-- The reading of an account after the close of a session, with the positions read beside it.
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
    1 as readings,
    account.net_liquidation as first_net_liquidation,
    account.capital as first_capital,
    account.daily_pnl as first_daily_pnl,
    portfolio.id as portfolio_materialization_id

from {{ source('main', 'closing_account') }} as account
inner join {{ source('lineage', 'materializations') }} as materializations
    on account.materialization_id = materializations.id
left join {{ source('lineage', 'materializations') }} as portfolio
    on materializations.slot = portfolio.slot
    and materializations.run_id = portfolio.run_id
    and portfolio.asset = 'closing_portfolio'
qualify row_number() over (
    partition by account.account, account.slot order by account.materialization_id desc, portfolio.id desc
) = 1
