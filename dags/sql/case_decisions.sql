-- The warehouse's decisions about cases, with the status that each case had when it was decided.
SELECT
    case_id,
    new_status AS status,
    expected_status
FROM case_decisions
