select
    materialization_id,
    asset,
    slot

from {{ source('lineage', 'latest') }}
