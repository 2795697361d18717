-- begin_rebuild, put_accounts, finish_rebuild, mark: set accounts to what the books say, under one
-- epoch; and let it be known later how far back a server went.
--
-- KEYS  begin, finish, mark: 1 control   ·   put: 1 control · 2 usage stream · then the accounts
-- ARGV  begin, finish: 1 echo · 2 epoch
--       put: 1 echo · 2 epoch · 3 as_of · then of each account: posted · overrun · keep_ms
--       mark: 1 echo · 2 epoch · 3 now ('' in production)
-- Example  FCALL <library>_put_accounts 3 {s0}:control {s0}:usage {s0}:usd:…:2026-05
--                7 2 1777593600000-0 9500000 0 259200000
-- Rules
--   * While an epoch is built, reserve answers UNBUILT. An epoch is begun once; a later one ends it.
--   * The books hold all that was journalled up to `as_of`. If the journal has gone on, nothing is
--     set: flush, read the books, and put again.
--   * SET, never added; what is pending stays, since the holds are here.
--   * The mark is the latest instant at which somebody looked. A server that is replaced by a copy,
--     or starts from an old file, has that one's mark: what the builder noted is then ahead of it.
-- Reply  begin: echo BEGUN|SUPERSEDED · put: echo SET|BEHIND|SUPERSEDED · finish: echo OPEN|SUPERSEDED
--        mark: echo instant_ms ('' if this is not the epoch that stands)

local function position_of(stream)
  if redis.call('EXISTS', stream) == 0 then return '0-0' end
  local facts = redis.call('XINFO', 'STREAM', stream)
  for at = 1, #facts, 2 do
    if facts[at] == 'last-generated-id' then return facts[at + 1] end
  end
end

redis.register_function {
  function_name = LIBRARY .. '_begin_rebuild',
  flags = { 'allow-oom' },
  callback = function(keys, args)
    local control = redis.call('HMGET', keys[1], 'building', 'epoch')
    local latest = math.max(tonumber(control[1] or '0'), tonumber(control[2] or '0'))
    if tonumber(args[2]) <= latest then return { args[1], 'SUPERSEDED' } end
    redis.call('HSET', keys[1], 'building', args[2])
    return { args[1], 'BEGUN' }
  end,
}

redis.register_function {
  function_name = LIBRARY .. '_put_accounts',
  flags = { 'allow-oom' },
  callback = function(keys, args)
    if redis.call('HGET', keys[1], 'building') ~= args[2] then return { args[1], 'SUPERSEDED' } end
    if position_of(keys[2]) ~= args[3] then return { args[1], 'BEHIND' } end
    for number = 3, #keys do
      local at = 4 + (number - 3) * 3
      redis.call('HSET', keys[number], 'posted', args[at], 'overrun', args[at + 1],
        'as_of', args[3])
      redis.call('PEXPIRE', keys[number], args[at + 2])
    end
    return { args[1], 'SET' }
  end,
}

redis.register_function {
  function_name = LIBRARY .. '_finish_rebuild',
  flags = { 'allow-oom' },
  callback = function(keys, args)
    if redis.call('HGET', keys[1], 'building') ~= args[2] then return { args[1], 'SUPERSEDED' } end
    redis.call('HDEL', keys[1], 'building')
    redis.call('HSET', keys[1], 'epoch', args[2])
    return { args[1], 'OPEN' }
  end,
}

redis.register_function {
  function_name = LIBRARY .. '_mark',
  flags = { 'allow-oom' },
  callback = function(keys, args)
    local control = redis.call('HMGET', keys[1], 'building', 'epoch', 'mark')
    if control[1] or control[2] ~= args[2] then return { args[1], '' } end
    local mark_ms = math.max(tonumber(control[3] or '0'), instant_ms(args[3]))
    redis.call('HSET', keys[1], 'mark', text(mark_ms))
    return { args[1], text(mark_ms) }
  end,
}
