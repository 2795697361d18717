-- publish, stop, resume: what every reserve on this shard is checked against.
--
-- KEYS  1 control
-- ARGV  publish: 1 echo · 2 field (policy:…, level:…, key:…) · 3 version
--       stop: 1 echo · 2 field (stop:…) · 3 why   ·   resume: 1 echo · 2 field
-- Example  FCALL <library>_publish 1 {s0}:control 7 policy:acme 12
-- Rules  A version only ever grows (I12).
-- Reply  publish: echo newest   ·   stop, resume: echo DONE

redis.register_function {
  function_name = LIBRARY .. '_publish',
  flags = { 'allow-oom' },
  callback = function(keys, args)
    local known, version = tonumber(redis.call('HGET', keys[1], args[2]) or '0'), tonumber(args[3])
    if version > known then redis.call('HSET', keys[1], args[2], args[3]) end
    return { args[1], math.max(known, version) }
  end,
}

redis.register_function {
  function_name = LIBRARY .. '_stop',
  flags = { 'allow-oom' },
  callback = function(keys, args)
    redis.call('HSET', keys[1], args[2], args[3])
    return { args[1], 'DONE' }
  end,
}

redis.register_function {
  function_name = LIBRARY .. '_resume',
  flags = { 'allow-oom' },
  callback = function(keys, args)
    redis.call('HDEL', keys[1], args[2])
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
