with materializations as (

    select * from {{ ref('stg_materializations') }}

),

-- Each stage starts from its materialization, not from its rows: a frame without rows counts 0, a missing one nothing.
scanned as (

    select
        slot,
        count(universe.symbol) as scanned

    from materializations
    left join {{ ref('stg_universe') }} as universe using (slot)
    where asset = 'universe'
    group by slot

),

filtered as (

    select
        slot,
        count(*) filter (where quality_filter.passed) as passed_quality,
        avg(quality_filter.passed::integer) as share_passed

    from materializations
    left join {{ ref('stg_quality_filter') }} as quality_filter using (slot)
    where asset = 'quality_filter'
    group by slot

),

scored as (

    select
        slot,
        count(scores.symbol) as scored

    from materializations
    left join {{ ref('stg_scores') }} as scores using (slot)
    where asset = 'scores'
    group by slot

),

sized as (

    select
        slot,
        count(sized_orders.symbol) as above_threshold,
        count(*) filter (where sized_orders.approved) as approved

    from materializations
    left join {{ ref('stg_sized_orders') }} as sized_orders using (slot)
    where asset = 'sized_orders'
    group by slot

),

executed as (

    select
        slot,
        count(*) filter (where executions.outcome = 'sent') as legs_sent,
        count(*) filter (where executions.outcome = 'already_working') as legs_already_working,
        count(*) filter (where executions.outcome = 'refused') as legs_refused

    from materializations
    left join {{ ref('stg_executions') }} as executions using (slot)
    where asset = 'executions'
    group by slot

),

slots as (

    select distinct slot from materializations

)

select
    slot,
    scanned,
    passed_quality,
    share_passed,
    scored,
    above_threshold,
    approved,
    legs_sent,
    legs_already_working,
    legs_refused

from slots
left join scanned using (slot)
left join filtered using (slot)
left join scored using (slot)
left join sized using (slot)
left join executed using (slot)
order by slot
