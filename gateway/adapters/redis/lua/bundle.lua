-- publish_bundle: puts an edition of the rules in force, if the expected one still is.
--
-- KEYS  1 rules (hash: edition, payload, publication) · 2 control of the same shard · 3 leader
-- ARGV  1 publication (a name no other one has) · 2 expected edition · 3 the least number it may get
--       4 field of the control hash · 5 who has to lead ('': nobody) · 6 payload
-- Example  FCALL <library>_publish_bundle 3 {s0}:rules {s0}:control {s0}:leader:publisher
--          f3a1 0 1795313107123 policy:rules w1 <bytes>
-- Rules
--   * The number is above every one that this shard has heard of (I12), also of those that a plan
--     carried here after the bundle itself was lost.
--   * The control hash changes in the same step: no plan of an older edition is admitted after it.
--   * The same publication sent twice is published once.
--   * Whoever watches is woken, as by publish.
-- Reply  publication PUBLISHED|CONFLICT|NOT_LEADER edition (the one in force now)

redis.register_function(LIBRARY .. '_publish_bundle', function(keys, args)
  local stored = redis.call('HMGET', keys[1], 'edition', 'publication')
  local current = tonumber(stored[1] or '0')
  if stored[2] == args[1] then return { args[1], 'PUBLISHED', current } end
  if args[5] ~= '' and redis.call('GET', keys[3]) ~= args[5] then
    return { args[1], 'NOT_LEADER', current }
  end
  if current ~= tonumber(args[2]) then return { args[1], 'CONFLICT', current } end
  local known = tonumber(redis.call('HGET', keys[2], args[4]) or '0')
  local edition = math.max(math.max(current, known) + 1, tonumber(args[3]))
  local text = string.format('%.0f', edition)
  redis.call('HSET', keys[1], 'edition', text, 'payload', args[6], 'publication', args[1])
  redis.call('HSET', keys[2], args[4], text)
  wake(args[4])
  return { args[1], 'PUBLISHED', edition }
end)
