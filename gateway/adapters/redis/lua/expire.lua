-- due: the ids of holds whose deadline has passed, longest overdue first.
--
-- KEYS  1 due
-- ARGV  1 now ('' in production) · 2 limit
-- Example  FCALL_RO <library>_due 1 {s0}:due '' 100
-- Reply (strings)  id …

redis.register_function {
  function_name = LIBRARY .. '_due',
  flags = { 'no-writes' },
  callback = function(keys, args)
    local now_ms = instant_ms(args[1])
    return redis.call('ZRANGE', keys[1], '-inf', text(now_ms), 'BYSCORE', 'LIMIT', '0', args[2])
  end,
}

-- expire: ends a hold that nobody ended, by charging all of it.
--
-- KEYS  1 hold · 2 due · 3 usage stream
-- ARGV  1 id · 2 now ('' in production)
-- Example  FCALL <library>_expire 3 {s0}:hold:7 {s0}:due {s0}:usage 7 ''
-- Rules
--   * The deadline is checked here, at the instant of the charge, not where the id was listed.
--   * A gateway that died after sending has probably spent the money, so the hold is posted, with
--     the draft as its record (rank 1, estimated). A later post of a higher rank corrects it.
--   * Buckets keep their claim: nothing better is known.
-- Reply (strings)  id EXPIRED|NOT_DUE|ALREADY_ENDED

redis.register_function {
  function_name = LIBRARY .. '_expire',
  flags = { 'allow-oom' },
  callback = function(keys, args)
    local id, now_ms = args[1], instant_ms(args[2])
    local hold = redis.call('HMGET', keys[1], 'state', 'claims', 'draft', 'deadline')
    if hold[1] ~= 'pending' then
      redis.call('ZREM', keys[2], id)
      return { id, 'ALREADY_ENDED' }
    end
    if now_ms < tonumber(hold[4]) then return { id, 'NOT_DUE' } end
    local charge = 0
    for _, claim in ipairs(unpack_claims(hold[2])) do
      if claim.kind == 'usd' then
        charge_balance(claim, claim.amount)
        charge = math.max(charge, claim.amount)
      end
    end
    local entry = redis.call('XADD', keys[3], '*', 'record', hold[3])
    bury(keys[1], keys[2], id, EXPIRED_TOMBSTONE_MS, {
      'state', 'expired', 'charge', text(charge), 'rank', '1', 'entry', entry, 'claims', hold[2],
    })
    return { id, 'EXPIRED' }
  end,
}
