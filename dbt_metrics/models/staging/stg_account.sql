-- Of every version, for a slot may have been read for two accounts, and the newest version is one account's.
select
    account.materialization_id,
    account.account,
    account.slot,
    account.slot[:10]::date as session,
    materializations.run_id,
    account.net_liquidation,
    account.capital,
    account.deployed,
    account.read_at

from {{ source('main', 'account') }} as account
inner join {{ source('lineage', 'materializations') }} as materializations
    on account.materialization_id = materializations.id
qualify row_number() over (
    partition by account.account, account.slot order by account.materialization_id desc
) = 1
