-- Account and positions are read together, in one run: at the start of each slot, and once after the close.
select
    account.*,
    portfolio.materialization_id as portfolio_materialization_id,
    false as is_closing

from {{ ref('stg_account') }} as account
left join {{ ref('stg_portfolio_versions') }} as portfolio
    on account.slot = portfolio.slot
    and account.run_id = portfolio.run_id

union all by name

select
    *,
    true as is_closing

from {{ ref('stg_closing_account') }}
