{# Every row has its like in another model by the columns: `relationships` for a key of several columns. #}

{% test found_in(model, to, columns) %}

select {{ columns | join(", ") }}
from {{ model }}
anti join {{ to }} using ({{ columns | join(", ") }})

{% endtest %}
