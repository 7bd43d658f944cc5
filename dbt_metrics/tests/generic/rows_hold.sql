{# Every row keeps every condition, given as sentence to SQL, and no two rows have the same key, where one is given;
   what does not is shown with the first sentence it breaks. All that is asked of a model, in one reading of it. #}

{% test rows_hold(model, conditions, key=none) %}

with judged as (

    select
        {% for column in key or [] %}{{ column }}, {% endfor %}
        case
            {% for sentence, condition in conditions.items() -%}
            when ({{ condition }}) is not true then '{{ sentence }}'
            {% endfor %}
        end as broken

    from {{ model }}

)

{% if key %}
select
    {{ key | join(", ") }},
    count(*) as times,
    min(broken) as broken

from judged
group by all
having count(*) > 1
    or min(broken) is not null
{% else %}
select broken
from judged
where broken is not null
{% endif %}

{% endtest %}
