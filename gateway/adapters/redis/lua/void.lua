-- void: releases a hold that certainly was not billed, once.
--
-- KEYS  1 hold · 2 due · 3 worker · 4 usage stream
-- ARGV  1 id · 2 now ('' in production) · 3 op · 4 acked · 5 skipped
-- Example  FCALL <library>_void 4 {s0}:hold:7 {s0}:due {s0}:worker: {s0}:usage 7 '' '' '' ''
-- Rules
--   * pending: the money is released, the tokens are given back and leases end; a request rate keeps
--     its claim, since the call was made, and a caller in a loop of refused calls is what it is for.
--   * unknown: a tombstone, so that a reserve that arrives late is not granted to nobody.
--   * expired: the conservative charge gives way to what is known for certain, nothing; its draft
--     is appended once more, as the record of a call that cost nothing (rank 2).
--   * posted: nothing.
--   * Runs when memory is full: it is what frees the money again.
-- Reply  id ROLLBACK|VOIDED|CORRECTED|TOMBSTONED|ALREADY_ENDED

local function release(claim, id, now_ms)
  if claim.kind == 'tokens' then
    correct_bucket(claim, 0, now_ms)
  elseif claim.kind == 'concurrency' then
    redis.call('ZREM', claim.key, id)
  elseif claim.kind == 'usd' and redis.call('EXISTS', claim.key) == 1 then
    redis.call('HINCRBY', claim.key, 'pending', 0 - claim.amount)
  end
end

local function release_expired(rest, usage_key, now_ms)
  local charge, _, hold = read_expired(rest)
  correct_settlement(claims_of(hold[1]), 0, charge, 0, now_ms)
  redis.call('XADD', usage_key, '*', 'record', hold[2],
    'accounts', hold[3], 'charge', '0', 'at', hold[4], 'voided', charge)
end

local function void(keys, id, now_ms)
  local state, rest = read_hold(keys[1])
  if state == 'expired' then
    release_expired(rest, keys[4], now_ms)
    bury(keys[1], keys[2], id, TOMBSTONE_MS, 'voided')
    return { id, 'CORRECTED' }
  end
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
