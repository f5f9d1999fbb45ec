-- The warehouse's decisions about customers, who are known here by the reference id that Persona has of them.
SELECT
    customer_id AS reference_id,
    decision AS status,
    case_template_id AS match_template
FROM customer_decisions
