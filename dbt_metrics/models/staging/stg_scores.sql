-- Of the run that counts; the scores behind orders that another run of the slot sent are taken from that run.
with sent as (

    select
        intents.symbol,
        inputs.input_materialization_id as materialization_id

    from {{ source('journal', 'intents') }} as intents
    inner join {{ source('lineage', 'inputs') }} as inputs using (materialization_id)
    where intents.leg = 'entry' and intents.state not in ('planned', 'refused')

)

select
    scores.slot,
    scores.symbol,
    scores.direction,
    scores.total_score

from {{ source('main', 'scores') }} as scores
left join sent using (symbol, materialization_id)
where sent.symbol is not null or scores.materialization_id in (
    select materialization_id from {{ ref('stg_materializations') }} where asset = 'scores'
)
qualify row_number() over (partition by scores.slot, scores.symbol order by sent.symbol is not null desc) = 1
