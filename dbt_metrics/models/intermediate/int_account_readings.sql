-- Account and positions are read together, in one run.
select
    account.*,
    portfolio.materialization_id as portfolio_materialization_id

from {{ ref('stg_account') }} as account
left join {{ ref('stg_portfolio_versions') }} as portfolio
    on account.slot = portfolio.slot
    and account.run_id = portfolio.run_id
