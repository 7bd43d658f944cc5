{# A relation is named by schema and name alone. A view keeps the names it was made with, and one that says in which
   file its tables are breaks in every copy of the file that is called something else. #}

{% macro ref() %}
    {% do return(builtins.ref(*varargs, **kwargs).include(database=false)) %}
{% endmacro %}

{% macro source() %}
    {% do return(builtins.source(*varargs).include(database=false)) %}
{% endmacro %}
