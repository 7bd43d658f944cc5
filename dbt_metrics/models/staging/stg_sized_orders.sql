-- Of the run that counts; the orders that another run of the slot sent are taken from that run.
{% set columns -%}
    order_ref, slot, symbol, direction, quantity, stop_price, target_price, approved, reason
{%- endset %}

with intents as (

    select
        order_ref,
        materialization_id

    from {{ source('journal', 'intents') }}
    where leg = 'entry' and state not in ('planned', 'refused')

),

sent as (

    select {{ columns }}
    from {{ source('main', 'sized_orders') }}
    semi join intents using (order_ref, materialization_id)

),

counted as (

    select {{ columns }}
    from {{ source('main', 'sized_orders') }}
    where materialization_id in (
        select materialization_id from {{ ref('stg_materializations') }} where asset = 'sized_orders'
    )

)

select * from sent
union all
select * from counted
anti join sent using (order_ref)
