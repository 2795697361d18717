"""A small price file and a small catalogue, for tests that say what stands in them."""

from __future__ import annotations

PRICES = """\
version: 1
sources: {list: "a price list"}
fallbacks:
  {cache_read: "1", cache_write_5m: "1.25", cache_write_1h: "2", priority: "1.75", flex: "1",
   optimized: "1.25"}
ceiling:
  rates: {input: "60", output: "300", cache_read: "60", cache_write_5m: "75", cache_write_1h: "120"}
  units: {image: "2", input_image: "0.01", video_second: "4", audio_second: "0.05",
          search_unit: "0.01", guardrail_text_unit: "0.001"}
  max_output_tokens: 200_000
  context_window: 1_000_000
units: {guardrail_text_unit: "0.00017"}
models:
  a.text:
    - {input: "1", output: "5", source: list, seen: 2026-01-01}
    - {from: 2026-06-01, input: "0.5", output: "4", source: list}
    - {scope: global, input: "0.9", output: "4.5", source: list}
    - {regions: ["eu-*"], input: "1.2", output: "6", source: list}
    - {tier: flex, input: "0.4", output: "2", source: list}
  a.long:
    - {input: "2", output: "10", cache_read: "0.2", above: {"200000": {input: "4", output: "15"}},
       source: list}
    - {tier: priority, input: "3.5", output: "17.5", source: list}
  a.image:
    - {units: {image: "0.04"}, source: list}
  a.embed:
    - {input: "0.1", per_call: "0.00007", source: list}
  a.geo-only:
    - {scope: geo, input: "3", output: "3", source: list}
    - {scope: global, input: "2", output: "2", source: list}
"""

MODELS = """\
version: 1
models:
  a.text:
    {family: chat, provider: A, name: Text, context_window: 128000, max_output: 4096,
     max_output_source: list, can: [converse], lifecycle: active, aliases: ["a.text:0", "text"]}
  a.long:
    {family: anthropic, provider: A, name: Long, context_window: 200000, max_output: 64000,
     max_output_source: list, can: [converse, context_1m_beta], lifecycle: active}
  a.image:
    {family: stability, provider: A, name: Image, context_window: null, max_output: null,
     max_output_source: none, can: [image_out], lifecycle: active}
  a.embed:
    {family: titan-embed, provider: A, name: Embed, context_window: 8192, max_output: null,
     max_output_source: none, can: [embeddings], lifecycle: legacy, end_of_life: 2027-01-01}
  a.geo-only:
    {family: chat, provider: A, name: Geo, context_window: 128000, max_output: null,
     max_output_source: "not stated", can: [converse], lifecycle: active}
"""
