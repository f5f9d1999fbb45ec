-- What the warehouse has decided about cases, and the status in which the decision found them.
SELECT
    case_id,
    new_status AS status,
    expected_status
FROM case_decisions
