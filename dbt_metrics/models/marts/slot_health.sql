with materializations as (

    select * from {{ ref('stg_materializations') }}

),

-- Each stage starts from its materialization, not from its rows: a frame without rows counts 0, a missing one nothing.
-- Of reasons the figures are left out, so that those that say the same are counted together.
scanned as (

    select
        slot,
        count(universe.symbol) as scanned

    from materializations
    left join {{ ref('stg_universe') }} as universe using (slot)
    where asset = 'universe' and has_rows
    group by slot

),

filtered as (

    select
        slot,
        count(*) filter (where quality_filter.passed) as passed_quality,
        count(*) filter (where not quality_filter.passed) as rejected,
        avg(quality_filter.passed::integer) as share_passed,
        mode(regexp_replace(quality_filter.reason, '\d[\d.,]*', '#', 'g')) as top_rejection

    from materializations
    left join {{ ref('stg_quality_filter') }} as quality_filter using (slot)
    where asset = 'quality_filter' and has_rows
    group by slot

),

scored as (

    select
        slot,
        count(scores.symbol) as scored

    from materializations
    left join {{ ref('stg_scores') }} as scores using (slot)
    where asset = 'scores' and has_rows
    group by slot

),

sized as (

    select
        slot,
        count(sized_orders.symbol) as above_threshold,
        count(*) filter (where sized_orders.approved) as approved,
        count(*) filter (where not sized_orders.approved) as refused,
        -- A refusal begins with the name of the limit.
        mode(split_part(sized_orders.reason, ':', 1)) as top_limit

    from materializations
    left join {{ ref('stg_sized_orders') }} as sized_orders using (slot)
    where asset = 'sized_orders' and has_rows
    group by slot

),

executed as (

    select
        slot,
        count(*) filter (where executions.outcome = 'sent') as legs_sent,
        count(*) filter (where executions.outcome = 'already_working') as legs_already_working,
        count(*) filter (where executions.outcome = 'refused') as legs_refused,
        mode(regexp_replace(executions.reason, '\d[\d.,]*', '#', 'g'))
            filter (where executions.outcome = 'refused') as top_refusal

    from materializations
    left join {{ ref('stg_executions') }} as executions using (slot)
    where asset = 'executions' and has_rows
    group by slot

),

-- Assets that come of one step begin together, and their time counts once.
steps as (

    select
        slot,
        case
            when asset in ('quality_filter', 'indicators', 'scores', 'sized_orders') then 'decide'
            when asset = 'executions' then 'act'
            when asset = 'portfolio_status' then 'measure'
            else 'observe'
        end as stage,
        max(epoch(finished_at)) - epoch(started_at) as seconds

    from materializations
    group by slot, stage, started_at

),

staged as (

    select
        slot,
        sum(seconds) filter (where stage = 'observe') as observe_seconds,
        sum(seconds) filter (where stage = 'decide') as decide_seconds,
        sum(seconds) filter (where stage = 'act') as act_seconds,
        sum(seconds) filter (where stage = 'measure') as measure_seconds

    from steps
    group by slot

),

runs as (

    select
        slot,
        run_id,
        max(materialization_id) as newest,
        max(epoch(finished_at)) - min(epoch(started_at)) as run_seconds

    from materializations
    group by slot, run_id

),

slots as (

    select
        slot,
        max_by(run_seconds, newest) as run_seconds

    from runs
    group by slot

),

accounts as (

    select
        slot,
        max_by(account, materialization_id) as account

    from {{ ref('stg_account') }}
    group by slot

)

select
    slot,
    account,
    scanned,
    passed_quality,
    rejected,
    share_passed,
    top_rejection,
    scored,
    above_threshold,
    approved,
    refused,
    top_limit,
    legs_sent,
    legs_already_working,
    legs_refused,
    top_refusal,
    observe_seconds,
    decide_seconds,
    act_seconds,
    measure_seconds,
    run_seconds

from slots
left join accounts using (slot)
left join scanned using (slot)
left join filtered using (slot)
left join scored using (slot)
left join sized using (slot)
left join executed using (slot)
left join staged using (slot)
order by slot
