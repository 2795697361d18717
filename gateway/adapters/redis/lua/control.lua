-- publish, stop, resume: what every reserve on this shard is checked against.
--
-- KEYS  1 control
-- ARGV  publish: 1 echo · 2 field (policy:…, level:…, key:…) · 3 version · 4 now ('' in production)
--       stop: 1 echo · 2 field (stop:…) · 3 the stop (JSON) · 4 now ('' in production)
--             · 5 always | reminder (only if nothing is noted for the scope)
--             | trip (only if none is in force there)
--       resume: 1 echo · 2 field · 3 now
-- Example  FCALL <library>_publish 1 {s0}:control 7 policy:acme 12 ''
--          FCALL <library>_stop 1 {s0}:control stop:org/acme stop:org/acme '{…,"until_ms":null}' '' always
-- Rules
--   * A version only ever grows (I12).
--   * A stop stands until the server's clock reaches its "until_ms"; without one, until it is
--     taken back. One that cannot be read stands (is_standing).
--   * A stop that was taken back leaves a note for a day: who finds none where one was knows that
--     the server has forgotten, and tells it again.
--   * The end of a key (its version is the second of it) is noted for a day: by then nobody has the
--     key in memory any more, and the key itself says that it has ended.
--   * Whoever watches is woken on gw:control; that is a courtesy, never relied upon.
-- Reply  publish: echo newest   ·   stop, resume: echo DONE

local NOTE_MS = 24 * HOUR_MS

-- A user of the server who may not publish still stops.
local function wake(field)
  redis.pcall('PUBLISH', 'gw:control', field)
end

-- When what is noted in a field ended; nil: it has not, or nobody knows.
local function end_of_note(field, value)
  if string.find(field, 'stop:', 1, true) == 1 then return end_of_stop(value) end
  local ended_s = string.find(field, 'key:', 1, true) == 1 and tonumber(value)
  return ended_s and ended_s * 1000
end

-- What ended by time, or was taken back, goes a day later: the list is read four times a second.
local function forget_old_notes(control_key, now_ms, kept)
  local stored = redis.call('HGETALL', control_key)
  for at = 1, #stored, 2 do
    local ended_ms = end_of_note(stored[at], stored[at + 1])
    if ended_ms and ended_ms < now_ms - NOTE_MS and stored[at] ~= kept then
      redis.call('HDEL', control_key, stored[at])
    end
  end
end

redis.register_function {
  function_name = LIBRARY .. '_publish',
  flags = { 'allow-oom' },
  callback = function(keys, args)
    local known, version = tonumber(redis.call('HGET', keys[1], args[2]) or '0'), tonumber(args[3])
    if version > known then
      forget_old_notes(keys[1], instant_ms(args[4]), args[2])
      redis.call('HSET', keys[1], args[2], args[3])
      wake(args[2])
    end
    return { args[1], math.max(known, version) }
  end,
}

redis.register_function {
  function_name = LIBRARY .. '_stop',
  flags = { 'allow-oom' },
  callback = function(keys, args)
    local now_ms, noted = instant_ms(args[4]), redis.call('HGET', keys[1], args[2])
    local is_kept = (args[5] == 'reminder' and noted)
      or (args[5] == 'trip' and is_standing(noted, now_ms))
    if not is_kept then
      forget_old_notes(keys[1], now_ms, args[2])
      redis.call('HSET', keys[1], args[2], args[3])
      wake(args[2])
    end
    return { args[1], 'DONE' }
  end,
}

redis.register_function {
  function_name = LIBRARY .. '_resume',
  flags = { 'allow-oom' },
  callback = function(keys, args)
    local now_ms = instant_ms(args[3])
    forget_old_notes(keys[1], now_ms, args[2])
    redis.call('HSET', keys[1], args[2],
      string.format('%s:true,"until_ms":%.0f}', RESTORED, now_ms))
    wake(args[2])
    return { args[1], 'DONE' }
  end,
}

-- lead: whether the asker is the one who acts in a role on this shard, for the next while.
--
-- KEYS  1 leader
-- ARGV  1 who · 2 ttl_ms
-- Example  FCALL <library>_lead 1 {s0}:leader:sweeper w1 5000
-- Reply  who 1|0

redis.register_function {
  function_name = LIBRARY .. '_lead',
  flags = { 'allow-oom' },
  callback = function(keys, args)
    local leader = redis.call('GET', keys[1])
    if leader and leader ~= args[1] then return { args[1], 0 } end
    redis.call('SET', keys[1], args[1], 'PX', args[2])
    return { args[1], 1 }
  end,
}
