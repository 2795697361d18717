-- post: turns a hold into a charge and appends its record, exactly once per id.
--
-- KEYS  1 hold · 2 due · 3 usage stream. The accounts are those the hold names: same shard, same
--       hash tag, hence the same slot.
-- ARGV  1 id · 2 now ('' in production) · 3 charge · 4 tokens · 5 rank · 6 record
-- Example
--   FCALL <library>_post 3 {s0}:hold:7 {s0}:due {s0}:usage 7 '' 9500000 1500 2 '{"request_id":"7",…}'
-- Rules
--   * pending: pending -= hold, posted += charge, overrun += what the charge has above the hold;
--     token buckets now count `tokens` instead of the claim (debt allowed, never above capacity).
--   * expired: the conservative charge gives way to one of a higher rank, by the difference.
--   * posted, or not of a higher rank: nothing.
--   * no hold, or a voided one: balances stay, but the record is appended and a tombstone left. The
--     tokens were spent, so the journal has to know; the accounts are rebuilt from it.
--   * Runs when memory is full: money that is spent must be settled.
-- Reply (strings)  id POSTED|CORRECTED|ALREADY_POSTED|UNKNOWN_HOLD entry ('' if none was appended)

local function settle(claims, charge, tokens, now_ms)
  for _, claim in ipairs(claims) do
    if claim.kind == 'usd' then
      charge_balance(claim, charge)
    elseif claim.kind == 'tokens' then
      correct_bucket(claim, tokens, now_ms)
    end
  end
end

local function correct_settlement(claims, charge, tokens, now_ms)
  for _, claim in ipairs(claims) do
    if claim.kind == 'usd' and redis.call('EXISTS', claim.key) == 1 then
      redis.call('HINCRBY', claim.key, 'posted', text(charge - claim.amount))
      if charge > claim.amount then
        redis.call('HINCRBY', claim.key, 'overrun', text(charge - claim.amount))
      end
    elseif claim.kind == 'tokens' then
      correct_bucket(claim, tokens, now_ms)
    end
  end
end

redis.register_function {
  function_name = LIBRARY .. '_post',
  flags = { 'allow-oom' },
  callback = function(keys, args)
    local id, now_ms, charge = args[1], instant_ms(args[2]), tonumber(args[3])
    local tokens, rank, record = tonumber(args[4]), tonumber(args[5]), args[6]
    local hold = redis.call('HMGET', keys[1], 'state', 'claims', 'rank', 'entry')
    local state = hold[1]
    local verdict = 'UNKNOWN_HOLD'
    if state == 'pending' then
      verdict = 'POSTED'
      settle(unpack_claims(hold[2]), charge, tokens, now_ms)
    elseif state == 'expired' and rank > tonumber(hold[3]) then
      verdict = 'CORRECTED'
      correct_settlement(unpack_claims(hold[2]), charge, tokens, now_ms)
    elseif state == 'posted' or state == 'expired' then
      return { id, 'ALREADY_POSTED', '' }
    end
    local entry = redis.call('XADD', keys[3], '*', 'record', record)
    bury(keys[1], keys[2], id, TOMBSTONE_MS,
      { 'state', 'posted', 'charge', text(charge), 'rank', text(rank), 'entry', entry })
    return { id, verdict, entry }
  end,
}
