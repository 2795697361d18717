-- due: the ids of holds whose deadline has passed, longest overdue first.
--
-- KEYS  1 due
-- ARGV  1 now ('' in production) · 2 limit
-- Example  FCALL_RO <library>_due 1 {s0}:due '' 100
-- Reply  id …

redis.register_function {
  function_name = LIBRARY .. '_due',
  flags = { 'no-writes' },
  callback = function(keys, args)
    local now_ms = instant_ms(args[1])
    return redis.call('ZRANGE', keys[1], '-inf', now_ms, 'BYSCORE', 'LIMIT', '0', args[2])
  end,
}

-- expire: ends a hold that nobody ended, by charging all of it.
--
-- KEYS  1 hold · 2 due · 3 usage stream
-- ARGV  1 id · 2 now ('' in production) · 3 the shard's prefix of account keys
-- Example  FCALL <library>_expire 3 {s0}:hold:7 {s0}:due {s0}:usage 7 '' {s0}:
-- Rules
--   * The deadline is checked here, at the instant of the charge, not where the id was listed.
--   * A gateway that died after sending has probably spent the money, so the hold is posted, with
--     the draft as its record (rank 1, estimated) and what only the ledger knows beside it: the
--     accounts (parted by blanks), the charge, the instant of admission. A better post corrects it,
--     and so does a void.
--   * Buckets keep their claim: nothing better is known. Leases end.
-- Reply  id EXPIRED|NOT_DUE|ALREADY_ENDED

-- The largest amount it holds is the charge in all its accounts: a record has one charge.
local function charge_whole(claims, id)
  local charge = 0
  for _, claim in ipairs(claims) do
    if claim.kind == 'usd' then charge = math.max(charge, claim.amount) end
  end
  for _, claim in ipairs(claims) do
    if claim.kind == 'usd' then
      charge_balance(claim, charge)
    elseif claim.kind == 'concurrency' then
      redis.call('ZREM', claim.key, id)
    end
  end
  return charge
end

redis.register_function {
  function_name = LIBRARY .. '_expire',
  flags = { 'allow-oom' },
  callback = function(keys, args)
    local id, now_ms = args[1], instant_ms(args[2])
    local state, rest = read_hold(keys[1])
    if state ~= 'pending' then
      redis.call('ZREM', keys[2], id)
      return { id, 'ALREADY_ENDED' }
    end
    if now_ms < tonumber(redis.call('ZSCORE', keys[2], id) or '0') then return { id, 'NOT_DUE' } end
    local hold = cmsgpack.unpack(rest)
    local claims = claims_of(hold[2])
    local charge, named = charge_whole(claims, id), names_of(claims, #args[3])
    local entry = redis.call('XADD', keys[3], '*', 'record', hold[4],
      'accounts', named, 'charge', charge, 'at', hold[1])
    bury(keys[1], keys[2], id, EXPIRED_TOMBSTONE_MS, table.concat({
      'expired', text(charge), '1', entry, cmsgpack.pack({ hold[2], hold[4], named, hold[1] }),
    }, ' '))
    return { id, 'EXPIRED' }
  end,
}
