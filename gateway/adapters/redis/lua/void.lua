-- void: releases a hold that certainly was not billed, once.
--
-- KEYS  1 hold · 2 due · 3 worker
-- ARGV  1 id · 2 now ('' in production) · 3 op · 4 acked · 5 skipped
-- Example  FCALL <library>_void 3 {s0}:hold:7 {s0}:due {s0}:worker: 7 '' '' '' ''
-- Rules
--   * pending: the money is released, the tokens are given back and leases end; a request rate keeps
--     its claim, since the call was made, and a caller in a loop of refused calls is what it is for.
--   * unknown: a tombstone, so that a reserve that arrives late is not granted to nobody.
--   * ended: nothing. An expired hold stays charged; only a better post corrects it.
--   * Runs when memory is full: it is what frees the money again.
-- Reply  id ROLLBACK|VOIDED|TOMBSTONED|ALREADY_ENDED

local function release(claim, id, now_ms)
  if claim.kind == 'tokens' then
    correct_bucket(claim, 0, now_ms)
  elseif claim.kind == 'concurrency' then
    redis.call('ZREM', claim.key, id)
  elseif claim.kind == 'usd' and redis.call('EXISTS', claim.key) == 1 then
    redis.call('HINCRBY', claim.key, 'pending', 0 - claim.amount)
  end
end

local function void(keys, id, now_ms)
  local state, rest = read_hold(keys[1])
  if state and state ~= 'pending' then return { id, 'ALREADY_ENDED' } end
  local verdict = 'TOMBSTONED'
  if state then
    verdict = 'VOIDED'
    for _, claim in ipairs(claims_of(cmsgpack.unpack(rest)[2])) do release(claim, id, now_ms) end
  end
  bury(keys[1], keys[2], id, TOMBSTONE_MS, 'voided')
  return { id, verdict }
end

redis.register_function {
  function_name = LIBRARY .. '_void',
  flags = { 'allow-oom' },
  callback = function(keys, args)
    local id, now_ms = args[1], instant_ms(args[2])
    if has_forgotten(keys[3], args[3], args[4], args[5]) then return { id, 'ROLLBACK' } end
    return void(keys, id, now_ms)
  end,
}
