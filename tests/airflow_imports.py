"""What `airflow_process` imports once: what any Dag file makes Airflow import, and nothing of ours."""

from __future__ import annotations

import gc
import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    try:
        from airflow.providers.common.compat import sdk
    except ImportError:  # before common-compat 1.8
        from airflow import sdk

    for _name in (
        "DAG",
        "Asset",
        "BaseHook",
        "BaseOperator",
        "BaseSensorOperator",
        "DecoratedOperator",
        "Param",
        "task",
    ):
        getattr(sdk, _name, None)

# A collection of all that Airflow holds would count as time of the program that it happens to meet.
gc.collect()
gc.freeze()
