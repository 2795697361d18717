from __future__ import annotations

import asyncio
import json
from datetime import datetime

import pytest
import redis
from typer.testing import CliRunner

from gateway.adapters.dynamodb.connection import open_dynamodb
from gateway.adapters.dynamodb.dead_letters import DynamoDeadLetters
from gateway.adapters.dynamodb.usage_table import DynamoUsageTable
from gateway.adapters.dynamodb.usage_transaction import Place
from gateway.admission.accounts import ShardKeys
from gateway.cli.journal import app
from gateway.journal.codec import encode_record
from gateway.journal.ports import JournalEntry
from tests.fakes.records import document_of, usage_record


@pytest.fixture
def run(dynamodb_endpoint, valkey_url, table_prefix, monkeypatch, tmp_path):
    monkeypatch.setenv("GATEWAY_DYNAMODB_ENDPOINT", dynamodb_endpoint)
    monkeypatch.setenv("GATEWAY_REDIS_URL", valkey_url)
    monkeypatch.setenv("GATEWAY_TABLE_PREFIX", table_prefix)
    monkeypatch.setenv("GATEWAY_STATE_DIR", str(tmp_path))
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
    assert waiting(run) == 3
    assert json.loads(run("flush", "--json").stdout) == {"flushed": 3}
    assert waiting(run) == 0
    assert "0 records" in run("flush").stdout

    async def read():
        async with open_dynamodb(dynamodb_endpoint, "us-east-1") as client:
            return await DynamoUsageTable(client, Place(prefix=table_prefix)).read("r1")

    stored = asyncio.run(read())
    # When the ledger took it stands beside what was written.
    assert datetime.fromisoformat(stored.pop("posted_at")).tzinfo is not None
    assert stored == document_of("r1")


def test_an_entry_that_is_no_record_is_told_and_does_not_stay(run, valkey_url):
    run("init")
    append(valkey_url, b"garbage")
    outcome = run("flush", "--json")
    assert json.loads(outcome.stdout) == {"flushed": 1}
    assert "not JSON" in outcome.stderr
    assert waiting(run) == 0


def test_without_tables_nothing_is_lost_and_the_way_out_is_told(run, valkey_url):
    append(valkey_url, encode_record(usage_record()))
    outcome = run("flush")
    assert outcome.exit_code == 1
    assert "journal init" in outcome.stderr
    assert waiting(run) == 1


@pytest.mark.parametrize("command", ["status", "flush"])
def test_without_a_ledger_the_missing_setting_is_named(run, monkeypatch, command):
    monkeypatch.delenv("GATEWAY_REDIS_URL")
    outcome = run(command)
    assert outcome.exit_code == 1
    assert "GATEWAY_REDIS_URL" in outcome.stderr


def waiting(run):
    return json.loads(run("status", "--json").stdout)["waiting"]


def test_the_status_says_how_full_the_journal_is(run, valkey_url, monkeypatch):
    monkeypatch.setenv("GATEWAY_JOURNAL_MAX_ENTRIES", "100")
    append(valkey_url, *([b"x"] * 80))
    status = json.loads(run("status", "--json").stdout)
    assert (status["waiting"], status["level"]) == (80, "shedding")
    assert status["size_bytes"] > 80
    assert "80 records" in run("status").stdout


def test_the_status_names_the_damaged_outboxes_that_only_a_person_may_delete(
    run, tmp_path, monkeypatch
):
    monkeypatch.setenv("GATEWAY_STATE_DIR", str(tmp_path / "state"))
    assert json.loads(run("status", "--json").stdout)["damaged_outboxes"] == []
    folder = tmp_path / "state" / "outbox" / ".damaged-host-1-ab"
    folder.mkdir(parents=True)
    (folder / "000001.notes").write_bytes(b"1234567")
    (told,) = json.loads(run("status", "--json").stdout)["damaged_outboxes"]
    assert told["folder"] == str(folder)
    text = run("status").stdout
    assert "1 outboxes of this host had damaged notes and were put aside" in text
    assert str(folder) in text


def test_dead_letters_are_listed_without_their_content_and_can_be_tried_again(run, valkey_url):
    run("init")
    append(valkey_url, b"a-canary", encode_record(usage_record("large", error="x" * 500_000)))
    run("flush")
    listed = run("dead-letters", "list", "--json")
    letters = json.loads(listed.stdout)
    assert [letter["why"].split()[0] for letter in letters] == ["not", "an"]
    assert "canary" not in listed.stdout + run("dead-letters", "list").stdout
    tried = run("dead-letters", "retry", letters[0]["letter_id"], "--json")
    assert tried.exit_code == 1
    assert json.loads(tried.stdout) == [{"letter_id": letters[0]["letter_id"], "why": "not JSON"}]


def test_a_letter_that_can_be_written_now_is_gone(run, dynamodb_endpoint, table_prefix):
    run("init")

    async def keep():
        async with open_dynamodb(dynamodb_endpoint, "us-east-1") as client:
            letters = DynamoDeadLetters(client, f"{table_prefix}dead_letters")
            entry = JournalEntry(position="1-0", document=encode_record(usage_record("r1")))
            await letters.keep(entry, "a bug that is fixed")

    asyncio.run(keep())
    assert "written" in run("dead-letters", "retry").stdout
    assert json.loads(run("dead-letters", "list", "--json").stdout) == []
    assert json.loads(run("reconcile", "--json").stdout)["records"] == 1


def test_books_that_agree_are_said_to_and_one_nano_dollar_more_is_told(run, valkey_url):
    month = "usd:org/acme:month:UTC:2999-11"
    run("init")
    append(
        valkey_url,
        *(
            encode_record(usage_record(f"r{number}", cost_nano_usd=10, accounts=(month,)))
            for number in range(3)
        ),
    )
    client = redis.Redis.from_url(valkey_url)
    client.hset(ShardKeys().account(month), "posted", 30)
    unflushed = run("reconcile", "--json")
    assert unflushed.exit_code == 0, unflushed.stdout
    assert json.loads(unflushed.stdout)["unflushed"] == 3
    run("flush")
    agreed = run("reconcile")
    assert agreed.exit_code == 0
    assert "The books agree." in agreed.stdout

    client.hincrby(ShardKeys().account(month), "posted", 1)
    client.set(ShardKeys().hold("r1"), "posted 11 2 1-0")
    client.close()
    outcome = run("reconcile", "--json")
    assert outcome.exit_code == 1
    (difference,) = json.loads(outcome.stdout)["differences"]
    assert difference["account"] == month
    assert (difference["expected"], difference["found"]) == (30, 31)
    assert difference["ids"] == ["r1"]
    assert month in run("reconcile").stdout


def test_the_outboxes_of_this_host_are_looked_at(run, tmp_path):
    run("init")
    (tmp_path / "outbox" / "worker-1").mkdir(parents=True)
    outcome = run("reconcile", "--json")
    assert outcome.exit_code == 0
    assert [each["worker"] for each in json.loads(outcome.stdout)["outboxes"]] == ["worker-1"]


def test_the_accounts_are_set_from_the_books_by_hand_and_the_status_says_so(run):
    run("init")
    assert "no accounts" in run("status").stdout
    built = run("rebuild", "--json")
    assert built.exit_code == 0, built.output
    assert json.loads(built.stdout) == [{"shard": "s0", "epoch": 1}]
    status = json.loads(run("status", "--json").stdout)
    assert status["shards"] == [{"shard": "s0", "epoch": 1, "building": None}]
    assert "Shard s0: epoch 1." in run("status").stdout
    assert run("rebuild").exit_code == 1, "the one who built last still leads"
    assert run("rebuild", "--shard", "s9").exit_code == 2
