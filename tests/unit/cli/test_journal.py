from __future__ import annotations

import asyncio
import json

import pytest
import redis
from typer.testing import CliRunner

from gateway.adapters.dynamodb.connection import open_dynamodb
from gateway.adapters.dynamodb.usage_table import DynamoUsageTable
from gateway.adapters.dynamodb.usage_transaction import Place
from gateway.admission.accounts import ShardKeys
from gateway.cli.journal import app
from gateway.journal.codec import encode_record
from tests.fakes.records import document_of, usage_record


@pytest.fixture
def run(dynamodb_endpoint, valkey_url, table_prefix, monkeypatch):
    monkeypatch.setenv("GATEWAY_DYNAMODB_ENDPOINT", dynamodb_endpoint)
    monkeypatch.setenv("GATEWAY_REDIS_URL", valkey_url)
    monkeypatch.setenv("GATEWAY_TABLE_PREFIX", table_prefix)
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, list(arguments))


def append(valkey_url, *records):
    client = redis.Redis.from_url(valkey_url)
    try:
        for record in records:
            client.xadd(ShardKeys().usage, {"record": record})
    finally:
        client.close()


def test_the_tables_are_made_once_and_listed_each_time(run, table_prefix):
    first = json.loads(run("init", "--json").stdout)
    again = json.loads(run("init", "--json").stdout)
    assert [table["name"] for table in first] == [table["name"] for table in again]
    assert {table["created"] for table in first} == {True}
    assert {table["created"] for table in again} == {False}
    assert all(table["name"].startswith(table_prefix) for table in first)
    assert "was there" in run("init").stdout


def test_what_waits_is_counted_and_brought_to_the_table(
    run, valkey_url, dynamodb_endpoint, table_prefix
):
    run("init")
    append(valkey_url, *(encode_record(usage_record(f"r{number}")) for number in range(3)))
    assert json.loads(run("status", "--json").stdout) == {"waiting": 3}
    assert json.loads(run("flush", "--json").stdout) == {"flushed": 3}
    assert json.loads(run("status", "--json").stdout) == {"waiting": 0}
    assert "0 records" in run("flush").stdout

    async def read():
        async with open_dynamodb(dynamodb_endpoint, "us-east-1") as client:
            return await DynamoUsageTable(client, Place(prefix=table_prefix)).read("r1")

    assert asyncio.run(read()) == document_of("r1")


def test_an_entry_that_is_no_record_is_told_and_does_not_stay(run, valkey_url):
    run("init")
    append(valkey_url, b"garbage")
    outcome = run("flush", "--json")
    assert json.loads(outcome.stdout) == {"flushed": 1}
    assert "not JSON" in outcome.stderr
    assert json.loads(run("status", "--json").stdout) == {"waiting": 0}


def test_without_tables_nothing_is_lost_and_the_way_out_is_told(run, valkey_url):
    append(valkey_url, encode_record(usage_record()))
    outcome = run("flush")
    assert outcome.exit_code == 1
    assert "journal init" in outcome.stderr
    assert json.loads(run("status", "--json").stdout) == {"waiting": 1}


@pytest.mark.parametrize("command", ["status", "flush"])
def test_without_a_ledger_the_missing_setting_is_named(run, monkeypatch, command):
    monkeypatch.delenv("GATEWAY_REDIS_URL")
    outcome = run(command)
    assert outcome.exit_code == 1
    assert "GATEWAY_REDIS_URL" in outcome.stderr
