"""The only module that knows versions of Airflow. Each difference says until when it is needed."""

from __future__ import annotations

import airflow
from packaging.version import Version

_RELEASE = Version(airflow.__version__).release[:2]

AIRFLOW_V_3_0_PLUS = _RELEASE >= (3, 0)
"""Below: Airflow 2, with datasets instead of assets. Until 2.11 is dropped."""

AIRFLOW_V_3_1_PLUS = _RELEASE >= (3, 1)
"""From here on: operators that wait for a person's answer. Until 3.0 is dropped."""

AIRFLOW_V_3_2_PLUS = _RELEASE >= (3, 2)
"""From here on: the connection form is declared in the provider's metadata. Until 3.1 is dropped."""

AIRFLOW_V_3_3_PLUS = _RELEASE >= (3, 3)
"""From here on: tasks have a state store. Until 3.2 is dropped."""
