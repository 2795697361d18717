-- void: releases a hold that certainly was not billed, once.
--
-- KEYS  1 hold · 2 due
-- ARGV  1 id · 2 now ('' in production)
-- Example  FCALL <library>_void 2 {s0}:hold:7 {s0}:due 7 ''
-- Rules
--   * pending: the money is released and the tokens are given back; a request rate keeps its claim,
--     since the call was made, and a caller in a loop of refused calls is what the rate is for.
--   * unknown: a tombstone, so that a reserve that arrives late is not granted to nobody.
--   * ended: nothing. An expired hold stays charged; only a post of a higher rank corrects it.
--   * Runs when memory is full: it is what frees the money again.
-- Reply (strings)  id VOIDED|TOMBSTONED|ALREADY_ENDED

redis.register_function {
  function_name = LIBRARY .. '_void',
  flags = { 'allow-oom' },
  callback = function(keys, args)
    local id, now_ms = args[1], instant_ms(args[2])
    local hold = redis.call('HMGET', keys[1], 'state', 'claims')
    if hold[1] and hold[1] ~= 'pending' then return { id, 'ALREADY_ENDED' } end
    local verdict = 'TOMBSTONED'
    if hold[1] then
      verdict = 'VOIDED'
      for _, claim in ipairs(unpack_claims(hold[2])) do
        if claim.kind == 'tokens' then
          correct_bucket(claim, 0, now_ms)
        elseif claim.kind == 'usd' and redis.call('EXISTS', claim.key) == 1 then
          redis.call('HINCRBY', claim.key, 'pending', text(-claim.amount))
        end
      end
    end
    bury(keys[1], keys[2], id, TOMBSTONE_MS, { 'state', 'voided' })
    return { id, verdict }
  end,
}
