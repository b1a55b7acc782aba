#!/usr/bin/env python3
"""Makes airflow.jsonl and dbt.jsonl again: one event a line, as the packages themselves wrote it to a file.

    make.py airflow > airflow.jsonl     with apache-airflow 3.3.2 and apache-airflow-providers-openlineage 2.20.3 (some 300 MB)
    make.py dbt > dbt.jsonl             with dbt-core 1.10, dbt-duckdb 1.9, python-dateutil < 3, openlineage-integration-common 1.54.0

Both run what they describe: a DAG of four tasks, of which the last fails; a dbt project of a seed, two models and two tests.
Times, random ids and the folder of the moment differ from one making to the next; the folder is written as /opt/project.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

DAG = '''
from datetime import datetime, timezone

from airflow.providers.common.compat.openlineage.facet import (
    ColumnLineageDatasetFacet, Dataset, Fields, InputField, SchemaDatasetFacet, SchemaDatasetFacetFields, SQLJobFacet)
from airflow.providers.openlineage.extractors import OperatorLineage
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG, BaseOperator

DB = "postgres://db:5432"


class CopyTable(BaseOperator):
    def __init__(self, src, dst, fail=False, **kw):
        super().__init__(**kw)
        self.src, self.dst, self.fail = src, dst, fail

    def execute(self, context):
        if self.fail:
            raise ValueError("no such table")
        return 7

    def lineage(self):
        fields = [SchemaDatasetFacetFields(name="id", type="int8"), SchemaDatasetFacetFields(name="total", type="numeric")]
        columns = {f.name: Fields(inputFields=[InputField(namespace=DB, name=self.src, field=f.name)],
                                  transformationType="IDENTITY", transformationDescription="copied") for f in fields}
        return OperatorLineage(
            inputs=[Dataset(namespace=DB, name=self.src, facets={"schema": SchemaDatasetFacet(fields=fields)})],
            outputs=[Dataset(namespace=DB, name=self.dst, facets={
                "schema": SchemaDatasetFacet(fields=fields), "columnLineage": ColumnLineageDatasetFacet(fields=columns)})],
            job_facets={"sql": SQLJobFacet(query=f"INSERT INTO {self.dst} SELECT * FROM {self.src}")})

    def get_openlineage_facets_on_start(self):
        return self.lineage()

    def get_openlineage_facets_on_complete(self, ti):
        return self.lineage()


with DAG("daily", start_date=datetime(2026, 1, 1, tzinfo=timezone.utc), schedule="@daily", tags=["finance"],
         description="Totals of a day", default_args={"owner": "data team"}) as dag:
    clean = CopyTable(task_id="clean", src="shop.public.orders", dst="shop.public.orders_clean")
    shell = BashOperator(task_id="shell", bash_command="echo hello")
    python = PythonOperator(task_id="python", python_callable=lambda: 3)
    broken = CopyTable(task_id="broken", src="shop.public.orders_clean", dst="shop.public.totals", fail=True)
    clean >> shell >> python >> broken
'''

RUN_DAG = """
import sys
sys.path.insert(0, "dags")
import daily
from datetime import datetime, timezone
daily.dag.test(logical_date=datetime(2026, 1, 1, tzinfo=timezone.utc))
"""


def airflow(home):
    out = home / "events.jsonl"
    env = dict(
        os.environ,
        AIRFLOW_HOME=str(home),
        AIRFLOW__CORE__DAGS_FOLDER=str(home / "dags"),
        AIRFLOW__CORE__LOAD_EXAMPLES="false",
        AIRFLOW__OPENLINEAGE__NAMESPACE="airflow prod",
        AIRFLOW__OPENLINEAGE__TRANSPORT='{"type": "file", "log_file_path": "%s", "append": true}' % out,
        AIRFLOW__OPENLINEAGE__EXECUTION_TIMEOUT="60",
    )
    (home / "dags").mkdir()
    (home / "dags" / "daily.py").write_text(DAG)
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], env=env, check=True, stdout=sys.stderr)
    subprocess.run([sys.executable, "-c", RUN_DAG], cwd=home, env=env, check=False, stdout=sys.stderr)
    return out


PROJECT = {
    "dbt_project.yml": "name: shop\nversion: 1.0.0\nprofile: shop\nmodel-paths: [models]\nseed-paths: [seeds]\n",
    "profiles.yml": "shop:\n  target: dev\n  outputs:\n    dev:\n      type: duckdb\n      path: shop.duckdb\n",
    "seeds/orders.csv": "id,customer,total\n1,7,10\n2,7,12\n3,8,5\n",
    "models/staged.sql": "select id, customer, total from {{ ref('orders') }} where total > 0\n",
    "models/totals.sql": "select customer, sum(total) as total from {{ ref('staged') }} group by customer\n",
    "models/schema.yml": """
models:
  - name: totals
    description: What each customer spent
    columns:
      - name: customer
        description: Who
        tests: [unique, not_null]
      - name: total
""",
}

PROCESS = """
from openlineage.client import OpenLineageClient
from openlineage.client.transport.file import FileConfig, FileTransport
from openlineage.common.provider.dbt.local import DbtLocalArtifactProcessor
client = OpenLineageClient(transport=FileTransport(FileConfig.from_dict({"log_file_path": "events.jsonl", "append": True})))
work = DbtLocalArtifactProcessor(producer="https://github.com/OpenLineage/OpenLineage/tree/1.54.0/integration/dbt",
                                 job_namespace="dbt", project_dir=".", dbt_command_line=["dbt", "build", "--profiles-dir", "."])
for event in work.parse().events():
    client.emit(event)
"""


def dbt(home):
    for name, text in PROJECT.items():
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).write_text(text)
    command = str(Path(sys.executable).parent / "dbt")
    for words in (["docs", "generate"], ["build"]):
        subprocess.run([command, "--no-send-anonymous-usage-stats", *words, "--profiles-dir", "."], cwd=home, check=words != ["build"], stdout=sys.stderr)
    subprocess.run([sys.executable, "-c", PROCESS], cwd=home, check=True, stdout=sys.stderr)
    return home / "events.jsonl"


def main():
    with tempfile.TemporaryDirectory() as d:
        home = Path(d) / "project"
        home.mkdir()
        out = {"airflow": airflow, "dbt": dbt}[sys.argv[1]](home)
        text = out.read_text().replace(str(home), "/opt/project")
        packages = [p for p in sys.path if p.endswith("site-packages")]
        for p in packages:
            text = text.replace(p, "/opt/packages")
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
