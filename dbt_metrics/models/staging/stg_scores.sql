-- Of the run that counts; the scores behind orders that another run of the slot sent are taken from that run.
with intents as (

    select
        intents.symbol,
        inputs.input_materialization_id as materialization_id

    from {{ source('journal', 'intents') }} as intents
    inner join {{ source('lineage', 'inputs') }} as inputs using (materialization_id)
    where intents.leg = 'entry' and intents.state not in ('planned', 'refused')

),

sent as (

    select slot, symbol, direction, total_score
    from {{ source('main', 'scores') }}
    semi join intents using (symbol, materialization_id)

),

counted as (

    select slot, symbol, direction, total_score
    from {{ source('main', 'scores') }}
    where materialization_id in (
        select materialization_id from {{ ref('stg_materializations') }} where asset = 'scores'
    )

)

select * from sent
union all
select * from counted
anti join sent using (slot, symbol)
