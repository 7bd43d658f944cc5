-- Of the run that counts; the orders that another run of the slot sent are taken from that run.
with sent as (

    select
        order_ref,
        materialization_id

    from {{ source('journal', 'intents') }}
    where leg = 'entry' and state not in ('planned', 'refused')

)

select
    sized_orders.order_ref,
    sized_orders.slot,
    sized_orders.symbol,
    sized_orders.direction,
    sized_orders.quantity,
    sized_orders.stop_price,
    sized_orders.target_price,
    sized_orders.approved,
    sized_orders.reason

from {{ source('main', 'sized_orders') }} as sized_orders
left join sent using (order_ref, materialization_id)
where sent.order_ref is not null or sized_orders.materialization_id in (
    select materialization_id from {{ ref('stg_materializations') }} where asset = 'sized_orders'
)
qualify row_number() over (
    partition by sized_orders.slot, sized_orders.order_ref order by sent.order_ref is not null desc
) = 1
