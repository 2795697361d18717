from __future__ import annotations

import pytest

from gateway.adapters.dynamodb.pages import query_all, scan_all


class Paged:
    """Three pages, the second of them empty, as filters leave some."""

    pages = ([1, 2], [], [3])

    async def query(self, *, TableName, ExclusiveStartKey=0):  # noqa: N803 - AWS's own names
        assert TableName == "t"
        answer = {"Items": self.pages[ExclusiveStartKey]}
        if ExclusiveStartKey + 1 < len(self.pages):
            answer["LastEvaluatedKey"] = ExclusiveStartKey + 1
        return answer

    scan = query


@pytest.mark.parametrize("read", [query_all, scan_all])
async def test_all_pages_are_read_an_empty_one_is_not_the_end(read):
    assert [item async for item in read(Paged(), {"TableName": "t"})] == [1, 2, 3]
