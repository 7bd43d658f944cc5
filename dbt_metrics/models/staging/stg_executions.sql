-- Of the run that counts, with every leg that another run of the slot sent: what was sent goes before what was not.
select
    order_ref,
    slot,
    symbol,
    leg,
    status,
    outcome,
    reason

from {{ source('main', 'executions') }}
where outcome = 'sent' or materialization_id in (
    select materialization_id from {{ ref('stg_materializations') }} where asset = 'executions'
)
qualify row_number() over (
    partition by slot, order_ref order by outcome = 'sent' desc, materialization_id
) = 1
