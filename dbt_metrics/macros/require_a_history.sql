{# One sentence instead of an error about the first table that is missing. #}

{% macro require_a_history() %}
    {% if execute %}
        {% set found = run_query(
            "select 1 from duckdb_tables() where database_name = 'history' and schema_name = 'lineage' "
            ~ "and table_name = 'materializations'"
        ) %}
        {% if found | length == 0 %}
            {% do exceptions.raise_compiler_error(
                "QUANT_HISTORY must name a copy of the pipeline's history; '" ~ env_var('QUANT_HISTORY', '')
                ~ "' holds none."
            ) %}
        {% endif %}
    {% endif %}
{% endmacro %}
